"""The contract of a model folder: what config.yaml may say. Counts are batches unless a name says otherwise."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from include.batches import Calendar
from include.config.fields import (
    Column,
    ColumnType,
    Contract,
    Duration,
    Encoding,
    FilePattern,
    Pattern,
    Percent,
    fill_batch,
)
from include.config.schedule import ScheduleConfig

Metric = Literal["mae", "rmse", "logloss", "brier"]
# Columns that the loop itself adds.
RESERVED = {"batch", "revision", "known", "prediction", "model_version", "data_version"}
_TARGETS = {"regression": ("float", "integer"), "classification": ("integer", "boolean")}
_METRICS = {"regression": ("mae", "rmse"), "classification": ("logloss", "brier")}


class CompleteConfig(Contract):
    """What makes a batch's files complete: a marker file, a declared count, or sizes that stay the same."""

    marker: str | None = None
    count: Annotated[int, Field(gt=0)] | None = None
    stable: Duration = timedelta(seconds=30)

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.marker and self.count:
            raise ValueError("valid: one of marker, count, stable")
        return self


def check_marker(files: FilePattern, complete: CompleteConfig) -> None:
    """Refuse one marker that would complete every batch at once."""
    in_folders = "/" in files.text.partition("}")[2]
    if complete.marker and "{batch:" not in complete.marker and not in_folders:
        raise ValueError(
            f"complete.marker: found {complete.marker!r} beside the files of every batch; valid: a name with the batch "
            "in it, such as _SUCCESS_{batch:%Y-%m-%d}, or files in one folder a batch"
        )
    sample = datetime(2000, 1, 1)
    beside = files.name_for(sample).rpartition("/")
    if complete.marker and files.moment_of("".join(beside[:2]) + fill_batch(complete.marker, sample)) is not None:
        raise ValueError(
            f"complete.marker: found {complete.marker!r}, which fits the file pattern itself; valid: a name that the "
            f"pattern {files.text} does not fit"
        )


class FilesConfig(Contract):
    """Files that arrive in the landing folder, and how they are written."""

    files: Pattern
    complete: CompleteConfig = CompleteConfig()
    wait: Duration = timedelta(hours=6)
    late: Annotated[int, Field(ge=0)] = 31
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    encoding: Encoding = "utf-8"
    nulls: tuple[str, ...] = ("",)

    @model_validator(mode="after")
    def _marker_belongs_to_a_batch(self) -> Self:
        check_marker(self.files, self.complete)
        return self


class RowsConfig(Contract):
    """The columns of a row; what stands in a file beside them is left out of the clean table."""

    key: tuple[str, ...] = Field(min_length=1)
    event_time: str
    columns: dict[str, Column] = Field(min_length=1)
    max_quarantined: Percent = 0.5

    @model_validator(mode="after")
    def _named_columns_exist(self) -> Self:
        for name in (*self.key, self.event_time):
            if name not in self.columns:
                raise ValueError(f"key and event_time name {name!r}; valid: one of {', '.join(self.columns)}")
        if self.columns[self.event_time].type not in ("timestamp", "date"):
            raise ValueError(f"event_time names {self.event_time!r}; valid: a timestamp or date column")
        if len(set(self.key)) < len(self.key):
            raise ValueError(f"key: found {list(self.key)}; valid: each column once")
        reserved = RESERVED & set(self.columns)
        if reserved:
            raise ValueError(f"columns: {', '.join(reserved)} is a name of our own; valid: any other name")
        return self


class LabelsConfig(Contract):
    """Where labels come from: files of their own, or (without ``files``) the rows themselves.

    ``max_delay`` says how many batches a label may come after its row; an older row's label is counted as unmatched.
    """

    target: dict[str, Column] = Field(min_length=1, max_length=1)
    files: Pattern | None = None
    key: tuple[str, ...] = ()
    complete: CompleteConfig = CompleteConfig()
    wait: Duration = timedelta(hours=12)
    late: Annotated[int, Field(ge=0)] = 31
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    encoding: Encoding = "utf-8"
    nulls: tuple[str, ...] = ("",)
    max_delay: Annotated[int, Field(ge=0)] = 90
    max_quarantined: Percent = 0.5

    @model_validator(mode="after")
    def _marker_belongs_to_a_batch(self) -> Self:
        if self.files is not None:
            check_marker(self.files, self.complete)
        return self

    @property
    def column(self) -> str:
        """Name of the target."""
        return next(iter(self.target))

    def as_files(self) -> FilesConfig:
        """The feed's own files; only where it has some."""
        assert self.files is not None
        names = ("files", "complete", "wait", "late", "delimiter", "encoding", "nulls")
        return FilesConfig.model_construct(**{name: getattr(self, name) for name in names})


class FeaturesConfig(Contract):
    """How far back features look; ``rowwise`` models read nothing but the row."""

    lookback: Annotated[int, Field(ge=0)] = 0
    rowwise: bool = False

    @model_validator(mode="after")
    def _rowwise_looks_nowhere(self) -> Self:
        if self.rowwise and self.lookback:
            raise ValueError("rowwise: true and a lookback exclude each other; valid: lookback: 0, or rowwise: false")
        return self


class EstimatorConfig(Contract):
    """What is fitted; ``trusted_types`` adds to the scikit-learn types that skops may load."""

    task: Literal["regression", "classification"]
    seed: int = 0
    trusted_types: tuple[str, ...] = ()


class TrainingConfig(Contract):
    """How much is learnt from: the label batches of the window, and the labels that must be known to begin."""

    window: Annotated[int, Field(gt=0)] = 12
    min_labels: Annotated[int, Field(gt=0)] = 1000


class SliceConfig(Contract):
    """How much worse a challenger may be on one value of a column; values with fewer rows are not judged."""

    may_worsen: Percent = 0.1
    min_rows: Annotated[int, Field(gt=0)] = 50


class GateConfig(Contract):
    """What a challenger must show against the champion on labels that neither was trained on."""

    metric: Metric
    holdout: Annotated[int, Field(ge=2)] = 4
    confidence: Annotated[Percent, Field(gt=0.5, lt=1)] = 0.95
    min_effect: Annotated[Percent, Field(ge=0)] = 0.02
    min_rows: Annotated[int, Field(gt=0)] = 100
    slices: dict[str, SliceConfig] = {}
    approval: Literal["uncovered", "required"] = "uncovered"
    approval_wait: Duration = timedelta(days=7)


class CheckConfig(Contract):
    """How often a model is checked, over how many label batches its error is taken, and what it is told by."""

    every: Annotated[int, Field(gt=0)] = 1
    window: Annotated[int, Field(gt=0)] = 4
    min_rows: Annotated[int, Field(gt=0)] = 200
    ignore: tuple[str, ...] = ()
    html: Literal["never", "not_ok", "always"] = "not_ok"


class Never(Contract):
    """Never retrain."""

    policy: Literal["never"] = "never"


class Decay(Contract):
    """Retrain when the error has grown by ``worse_by`` over the holdout error at promotion."""

    policy: Literal["decay"] = "decay"
    worse_by: Percent = 0.1


class InputDrift(Contract):
    """Retrain when an input has drifted."""

    policy: Literal["input_drift"] = "input_drift"


class EveryN(Contract):
    """Retrain every ``n`` batches."""

    policy: Literal["every"] = "every"
    n: Annotated[int, Field(gt=0)]


class Due(Contract):
    """Retrain when the champion is ``age`` batches old, or ``new_labels`` labels have come since it was trained."""

    policy: Literal["due"] = "due"
    age: Annotated[int, Field(gt=0)] | None = None
    new_labels: Annotated[int, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if self.age is None and self.new_labels is None:
            raise ValueError("valid: age, new_labels, or both")
        return self


def _parse_policy(value: Any) -> Any:
    """``decay`` is short for ``{policy: decay}``, ``{every: 4}`` for ``{policy: every, n: 4}``."""
    if isinstance(value, str):
        return {"policy": value}
    if isinstance(value, dict) and len(value) == 1 and "policy" not in value:
        name, options = next(iter(value.items()))
        if name == "every" and not isinstance(options, dict):
            options = {"n": options}
        return {"policy": name, **(options or {})} if isinstance(options, dict | None) else value
    return value


Policy = Annotated[
    Annotated[Never | Decay | InputDrift | EveryN | Due, Field(discriminator="policy")],
    BeforeValidator(_parse_policy),
]


class RetrainConfig(Contract):
    """When a retraining is asked for, how often it is tried, and how long it then rests."""

    any: tuple[Policy, ...] = Field(default=(Decay(),), min_length=1)
    cooldown: Annotated[int, Field(ge=0)] = 0
    attempts: Annotated[int, Field(gt=0)] = 3


class HeavyConfig(Contract):
    """Where Airflow runs the tasks that take memory and minutes: train, judge and register."""

    executor: str | None = None
    queue: str | None = None
    pool: str = "default_pool"


class TasksConfig(Contract):
    """How Airflow runs a model's tasks: how often it looks for files, and how it retries what an outage has failed.

    The first retry comes after ``retry_delay``, each further one after twice as long.
    """

    poll: Duration = timedelta(seconds=30)
    retries: Annotated[int, Field(ge=0)] = 3
    retry_delay: Duration = timedelta(minutes=1)
    heavy: HeavyConfig = HeavyConfig()

    @field_validator("poll", "retry_delay")
    @classmethod
    def _within_a_day(cls, time: timedelta) -> timedelta:
        if not timedelta(0) < time <= timedelta(days=1):
            raise ValueError("valid: a duration such as 30s, of a day at most")
        return time


class AlertsConfig(Contract):
    """Who is told of incidents beside the log: Slack, by the name of an Airflow connection; a URL that takes JSON.

    ``channel`` is for a connection of type Slack API; an incoming webhook has its own.
    """

    http: str | None = None
    slack: str | None = None
    channel: str | None = None

    @field_validator("http")
    @classmethod
    def _is_web(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("valid: a URL that begins with http:// or https://")
        return url


def _form_of_labels(value: Any) -> str:
    return "feed" if isinstance(value, dict | LabelsConfig) else "none"


class ModelConfig(Contract):
    """config.yaml: all that is particular to one model and is not code."""

    title: str
    description: str = ""
    owner: str = "evergreen"
    schedule: ScheduleConfig
    source: FilesConfig
    rows: RowsConfig
    # Told apart by hand, so that a mistake inside a feed is not answered for both forms.
    labels: Annotated[
        Annotated[Literal["none"], Tag("none")] | Annotated[LabelsConfig, Tag("feed")], Discriminator(_form_of_labels)
    ]
    features: FeaturesConfig = FeaturesConfig()
    model: EstimatorConfig
    training: TrainingConfig = TrainingConfig()
    gate: GateConfig
    check: CheckConfig = CheckConfig()
    retrain: RetrainConfig = RetrainConfig()
    alerts: AlertsConfig = AlertsConfig()
    tasks: TasksConfig = TasksConfig()

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        columns = self.rows.columns
        if self.gate.metric not in _METRICS[self.model.task]:
            valid = ", ".join(_METRICS[self.model.task])
            raise ValueError(f"gate.metric: found {self.gate.metric!r} for {self.model.task}; valid: {valid}")
        for name in (*self.gate.slices, *self.check.ignore):
            if name not in columns:
                raise ValueError(f"gate.slices and check.ignore: found {name!r}; valid: one of {', '.join(columns)}")
        feeds = [("source", self.source.files), ("labels", self.labels.files if self.labels != "none" else None)]
        for name, pattern in feeds:
            if pattern is not None and not pattern.tells(self.schedule.every):
                every = self.schedule.every
                raise ValueError(f"{name}.files: found {pattern}; valid: a date that tells one {every} from the next")
        if self.labels != "none":
            self._check_target(self.labels)
            if self.labels.files is None and self.labels.key:
                raise ValueError("labels.key: labels inside the rows have the rows' key; valid: leave it out")
            if self.labels.files is not None and set(self.labels.key) != set(self.rows.key):
                raise ValueError(f"labels.key: found {list(self.labels.key)}; valid: {list(self.rows.key)}")
            if self.labels.column in columns:
                raise ValueError(
                    f"rows.columns: found the target {self.labels.column!r}; valid: under labels.target alone, "
                    "so that no feature can read it"
                )
        return self

    def _check_target(self, labels: LabelsConfig) -> None:
        valid, given = _TARGETS[self.model.task], labels.target[labels.column].type
        if given not in valid:
            raise ValueError(f"labels.target: found {given} for {self.model.task}; valid: {', '.join(valid)}")
        if labels.column in RESERVED:
            raise ValueError(f"labels.target: {labels.column} is a name of our own; valid: any other name")

    @property
    def calendar(self) -> Calendar:
        """The batches of this model."""
        return self.schedule.calendar

    @property
    def label_columns(self) -> dict[str, ColumnType]:
        """Key and target as a label feed declares them."""
        if self.labels == "none":
            return {}
        return {name: self.rows.columns[name] for name in self.rows.key} | dict(self.labels.target)
