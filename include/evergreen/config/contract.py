"""The contract of a model folder: what config.yaml may say. Counts are batches unless a name says otherwise."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from evergreen.batches import Calendar, Every
from evergreen.config.data_schema import DataSchema, LabelSchema
from evergreen.config.feeds import QUARANTINED, FilesConfig, LabelFeed, Labels, LabelsInside, Source
from evergreen.config.fields import Column, ColumnType, Contract, Duration, Misfit, Percent
from evergreen.config.policies import Decay, EveryN, Policy, RetrainConfig
from evergreen.config.schedule import ScheduleConfig

Task = Literal["regression", "classification"]
MetricName = Literal["mae", "rmse", "logloss", "brier"]
# Label batches that a model learns from; ``all`` of the past.
Window = Literal["all"] | int
# Columns that the loop itself adds.
RESERVED = {"batch", "revision", "known", "prediction", "model_version", "data_version"}
_TARGETS = {"regression": ("float", "integer"), "classification": ("integer", "boolean")}
Divergence = Literal["wasserstein", "psi", "jensenshannon", "kl", "ks", "chisquare"]
_DIVERGENCES = {
    **dict.fromkeys(("float", "integer"), ("wasserstein", "psi", "jensenshannon", "kl", "ks")),
    **dict.fromkeys(("category", "boolean"), ("jensenshannon", "psi", "kl", "chisquare")),
}
# Columns whose values name groups of rows.
_GROUPED = ("string", "category", "integer", "boolean")
# A season of the data's own rhythm, and what is left of it after a change.
_RECENT: dict[Every, tuple[int, int]] = {
    "minute": (240, 60),
    "hour": (168, 24),
    "day": (28, 7),
    "week": (13, 4),
    "month": (12, 4),
}
# Batches between two trainings: each is tried, but for those that are shorter than it is worth.
_CADENCE: dict[Every, int] = {"minute": 60, "hour": 6, "day": 1, "week": 1, "month": 1}
_METRICS = {"regression": ("mae", "rmse"), "classification": ("logloss", "brier")}


class RowsConfig(Contract):
    """The columns of a row; what stands in a file beside them is left out of the clean table."""

    key: tuple[str, ...] = Field(min_length=1, description="Columns that together name a row.")
    event_time: str = Field(description="Column that says when a row happened.")
    columns: dict[str, Column] = Field(min_length=1, description="The columns that are read, each with its type.")
    max_quarantined: Percent = Field(default=0.5, description=QUARANTINED)

    @model_validator(mode="after")
    def _named_columns_exist(self) -> Self:
        for name in (*self.key, self.event_time):
            if name not in self.columns:
                raise ValueError(f"key and event_time name {name!r}; valid: one of {', '.join(self.columns)}")
        if self.columns[self.event_time].type not in ("timestamp", "date"):
            raise ValueError(f"event_time names {self.event_time!r}; valid: a timestamp or date column")
        if len(set(self.key)) < len(self.key):
            raise Misfit(f"key: found {list(self.key)}; valid: each column once")
        reserved = RESERVED & set(self.columns)
        if reserved:
            raise ValueError(f"columns: {', '.join(reserved)} is a name of our own; valid: any other name")
        return self

    @model_validator(mode="after")
    def _pasts_are_told_apart(self) -> Self:
        for name in (*self.key, self.event_time):
            if self.columns[name].has_default:
                raise ValueError(f"columns.{name}.default: key and event time are never made up; valid: leave it out")
        past: dict[str, str] = {}
        for name, column in self.columns.items():
            for old in column.renamed_from:
                if old in self.columns:
                    raise ValueError(
                        f"columns.{name}.renamed_from: {old!r} is declared itself; valid: a name that is not"
                    )
                if past.setdefault(old, name) != name:
                    raise ValueError(
                        f"columns.{name}.renamed_from: {past[old]!r} was {old!r} too; valid: one of the two"
                    )
        return self


class FeaturesConfig(Contract):
    """How far back features look; ``rowwise`` models read nothing but the row."""

    lookback: Annotated[int, Field(ge=0)] = Field(default=0, description="Batches of history that features may read.")
    rowwise: bool = Field(
        default=False,
        description="Whether a row's features rest on nothing but the row; large batches are then scored in pieces.",
    )

    @model_validator(mode="after")
    def _rowwise_has_no_lookback(self) -> Self:
        if self.rowwise and self.lookback:
            raise ValueError("rowwise: true and a lookback exclude each other; valid: lookback: 0, or rowwise: false")
        return self


class EstimatorConfig(Contract):
    """What is fitted."""

    task: Task = Field(description="What the estimator predicts.")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(default=0, description="Seed that `build_estimator` is given.")
    trusted_types: tuple[str, ...] = Field(
        default=(), description="Types that skops may load, beside those of common scikit-learn estimators."
    )


def _parse_window(value: Any) -> Any:
    if value in ("auto", "all") or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError("valid: auto, all, or a number of label batches such as 12")


class TrainingConfig(Contract):
    """How much is learnt from."""

    window: Annotated[Literal["auto", "all"] | int, BeforeValidator(_parse_window)] = Field(
        default="auto",
        description="Label batches to learn from: a number, `all` of the past, or `auto`, the best of all, a season "
        "and a shorter span. A bulk (the labels of several batches at once) counts as that many batches.",
    )
    min_labels: Annotated[int, Field(gt=0)] = Field(
        default=30, description="Labels that must be known before a first version is made."
    )


class SliceConfig(Contract):
    """How much worse a challenger may be on one value of a column; values with fewer rows are not judged."""

    may_worsen: Percent = Field(
        default=0.1,
        description="How much worse a challenger may be on one value, relative to the champion's error there.",
    )
    min_rows: Annotated[int, Field(gt=0)] = Field(default=50, description="Rows from which on a value is judged.")


class CalibrationConfig(Contract):
    """How much worse a challenger may be calibrated than the champion; fewer rows are not judged."""

    may_worsen: Percent | None = Field(
        default=None,
        description="How much worse calibrated than the champion a challenger may be: points of probability for "
        "classification (without it 2%), shares of the champion's error for regression (without it 15%).",
    )
    min_rows: Annotated[int, Field(gt=0)] = Field(default=500, description="Rows from which on calibration is judged.")


class GateConfig(Contract):
    """What a challenger must be worth on labels that neither it nor the champion was trained on."""

    metric: MetricName = Field(
        description="The error that is judged: `mae` or `rmse` of a regression, `logloss` or `brier` of a "
        "classification."
    )
    min_effect: Annotated[Percent, Field(ge=0)] = Field(
        default=0.01, description="Improvement that must be expected of a challenger, relative to the champion's error."
    )
    min_rows: Annotated[int, Field(gt=0)] = Field(
        default=100, description="Labelled rows that a challenger is judged on at least."
    )
    confidence: Annotated[Percent, Field(gt=0.5, lt=1)] | None = Field(
        default=None,
        description="Confidence at which the improvement must be proven, too; without it no proof is asked for.",
    )
    slices: dict[str, SliceConfig] = Field(
        default={}, description="Columns on whose single values a challenger is judged, too."
    )
    calibration: CalibrationConfig | None = Field(
        default=None, description="Limits of the calibration; without it calibration is not judged."
    )
    sensitive: tuple[str, ...] = Field(
        default=(),
        description="Columns whose groups a fairness report tells apart: error, mean residual, or rates of selection "
        "and of true and false positives, with the largest gap. Groups under `gate.min_rows` are only counted. The "
        "report judges nothing; it needs the extra `fairness`.",
    )
    approval: Literal["uncovered", "required"] = Field(
        default="uncovered",
        description="When a person decides: where the gate cannot (no labels, a champion that cannot score), or each "
        "time.",
    )
    approval_wait: Duration = Field(default=timedelta(days=7), description="Time after which silence is a no.")


class CheckConfig(Contract):
    """How often a model is checked, over how many label batches its error is taken, and what it is told by."""

    every: Annotated[int, Field(gt=0)] = Field(default=1, description="Batches from one check to the next.")
    window: Annotated[int, Field(gt=0)] = Field(
        default=4,
        description="Label batches over which the error is taken; a bulk counts as in `training.window`.",
    )
    min_rows: Annotated[int, Field(gt=0)] = Field(
        default=200, description="Labelled rows below which the error is not judged."
    )
    ignore: tuple[str, ...] = Field(
        default=(), description="Columns that are not compared with what the champion learnt from."
    )
    divergence: dict[str, Divergence] = Field(
        default={},
        description="Measure by which a column is compared. Of numbers `wasserstein` (without it), `psi`, "
        "`jensenshannon`, `kl`, `ks`; of categories and booleans `jensenshannon` (without it), `psi`, `kl`, "
        "`chisquare`.",
    )
    html: Literal["never", "not_ok", "always"] = Field(
        default="not_ok",
        description="When Evidently's page of the inputs is drawn: never, where inputs warn, or at each check. It "
        "needs the extra `reports`.",
    )


class HeavyConfig(Contract):
    """Where Airflow runs the tasks that take memory and minutes: train, judge and register."""

    executor: str | None = Field(
        default=None, description="Executor of the tasks that train, judge and register; without it Airflow's default."
    )
    queue: str | None = Field(default=None, description="Queue of these tasks; without it Airflow's default.")
    pool: str = Field(default="default_pool", description="Pool of these tasks.")


class TasksConfig(Contract):
    """How Airflow runs a model's tasks: how often it looks for files, and how it retries what an outage has failed."""

    poll: Duration = Field(
        default=timedelta(seconds=30), description="Time between two looks at what is waited for, a day at most."
    )
    retries: Annotated[int, Field(ge=0)] = Field(default=3, description="Retries of a task that an outage has failed.")
    retry_delay: Duration = Field(
        default=timedelta(minutes=1),
        description="Time before the first retry, a day at most; each further one comes after twice as long.",
    )
    heavy: HeavyConfig = HeavyConfig()

    @field_validator("poll", "retry_delay")
    @classmethod
    def _within_a_day(cls, time: timedelta) -> timedelta:
        if not timedelta(0) < time <= timedelta(days=1):
            raise ValueError("valid: a duration such as 30s, of a day at most")
        return time


class AlertsConfig(Contract):
    """Who is told of incidents beside the log."""

    http: str | None = Field(default=None, description="URL that takes incidents as JSON.")
    slack: str | None = Field(
        default=None,
        description="Airflow connection to Slack, of type Slack API or Slack Incoming Webhook; it needs the extra "
        "`slack`.",
    )
    channel: str | None = Field(
        default=None, description="Channel, for a connection of type Slack API; an incoming webhook has its own."
    )

    @field_validator("http")
    @classmethod
    def _is_web(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("valid: a URL that begins with http:// or https://")
        return url


class ModelConfig(Contract):
    """config.yaml: all that is particular to one model and is not code."""

    title: str = Field(description="The model's name for people; Airflow shows it.")
    description: str = Field(default="", description="What the model is for; Airflow shows it.")
    owner: str = Field(default="evergreen", description="Owner of the model's DAGs in Airflow.")
    schedule: ScheduleConfig
    source: Source = Field(
        description="Where rows come from. `source: {NAME: {…}}` gives it a name; more than one is refused so far."
    )
    rows: RowsConfig
    labels: Labels = Field(
        description="What is to be predicted, and when it becomes known. `labels: none` where it never does: then "
        "nothing is judged by outcomes, and a person approves each version."
    )
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
            raise Misfit(f"gate.metric: found {self.gate.metric!r} for {self.model.task}; valid: {valid}")
        for name in (*self.gate.slices, *self.check.ignore):
            if name not in columns:
                raise Misfit(f"gate.slices and check.ignore: found {name!r}; valid: one of {', '.join(columns)}")
        self._check_divergences()
        groups = [n for n, c in columns.items() if c.type in _GROUPED and n not in self.rows.key]
        for name in self.gate.sensitive:
            if name not in groups:
                raise Misfit(f"gate.sensitive: found {name!r}; valid: one of {', '.join(groups) or 'no column'}")
        every = self.schedule.every
        for name, feed in (("source", self.source), ("labels", self.labels)):
            if isinstance(feed, FilesConfig) and not feed.files.tells(every):
                raise Misfit(f"{name}.files: found {feed.files}; valid: a date that tells one {every} from the next")
        if self.labels is not None:
            self._check_target(self.labels)
            if isinstance(self.labels, LabelFeed) and set(self.labels.key) != set(self.rows.key):
                raise Misfit(f"labels.key: found {list(self.labels.key)}; valid: {list(self.rows.key)}")
        return self

    def _check_divergences(self) -> None:
        watched = {name: column.type for name, column in self.rows.columns.items() if column.type in _DIVERGENCES}
        for name, divergence in self.check.divergence.items():
            if name not in watched:
                valid = ", ".join(watched) or "none"
                raise Misfit(f"check.divergence: found {name!r}; valid: a column that can be compared: {valid}")
            fit = _DIVERGENCES[watched[name]]
            if divergence not in fit:
                raise Misfit(
                    f"check.divergence.{name}: found {divergence!r} for {watched[name]}; valid: {', '.join(fit)}"
                )

    def _check_target(self, labels: LabelsInside) -> None:
        valid, given = _TARGETS[self.model.task], labels.target[labels.column].type
        if given not in valid:
            raise Misfit(f"labels.target: found {given} for {self.model.task}; valid: {', '.join(valid)}")
        if labels.column in RESERVED:
            raise ValueError(f"labels.target: {labels.column} is a name of our own; valid: any other name")
        if labels.target[labels.column].has_default:
            raise Misfit("labels.target: found a default; valid: none, a missing label is missing")
        past = {labels.column, *labels.target[labels.column].renamed_from}
        for name, column in self.rows.columns.items():
            for found in past & {name, *column.renamed_from}:
                raise Misfit(
                    f"rows.columns: found the target {found!r}; valid: under labels.target alone, so that no feature "
                    "can read it"
                )

    @property
    def calendar(self) -> Calendar:
        """The batches of this model."""
        return self.schedule.calendar

    @property
    def data_schema(self) -> DataSchema:
        """What rows and labels are read as."""
        rows, labels = self.rows, None
        if self.labels is not None:
            delay = self.labels.max_delay if isinstance(self.labels, LabelFeed) else 0
            labels = LabelSchema(self.labels.column, self.labels.target[self.labels.column], delay)
        return DataSchema(self.calendar, rows.key, rows.event_time, rows.columns, labels)

    @property
    def policies(self) -> tuple[Policy, ...]:
        """When a retraining is asked for: by default on a cadence, and when the error has grown."""
        return self.retrain.any or (EveryN(n=_CADENCE[self.schedule.every]), Decay())

    @property
    def worse_by(self) -> float:
        """Growth of the error over that of a version's first labels from which outcomes are bad."""
        limits = [policy.worse_by for policy in self.policies if isinstance(policy, Decay)]
        return min(limits, default=Decay().worse_by)

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows that challengers learn from."""
        window = self.training.window
        return ("all", *_RECENT[self.schedule.every]) if window == "auto" else (window,)

    @property
    def label_columns(self) -> dict[str, ColumnType]:
        """Key and target as a label feed declares them."""
        return self.data_schema.label_columns
