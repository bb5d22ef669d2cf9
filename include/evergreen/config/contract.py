"""The contract of a model folder: what config.yaml may say. Counts are batches unless a name says otherwise."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from evergreen.batches import Calendar, Every
from evergreen.config.check_config import DIVERGENCES, CheckConfig
from evergreen.config.data_schema import DataSchema, LabelSchema
from evergreen.config.feeds_config import FilesConfig, LabelFeed, Labels, LabelsInside, QueryConfig, Source
from evergreen.config.fields import HOUR, ColumnType, Contract, Limit, Misfit
from evergreen.config.gate_config import GateConfig, Task
from evergreen.config.limits_config import LimitsConfig
from evergreen.config.policies_config import Decay, EveryN, Policy, RetrainConfig
from evergreen.config.retention_config import RetentionConfig
from evergreen.config.rows_config import RESERVED, RowsConfig
from evergreen.config.schedule_config import ScheduleConfig
from evergreen.config.serving_config import ServingConfig
from evergreen.config.tasks_config import AlertsConfig, TasksConfig
from evergreen.config.training_config import TrainingConfig

# Label batches that a model learns from; ``all`` of the past.
Window = Literal["all"] | int
_TARGETS = {"regression": ("float", "integer"), "classification": ("integer", "boolean")}
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


class FeaturesConfig(Contract):
    """How far back features look; ``rowwise`` models read nothing but the row."""

    since: ClassVar[set[str]] = {"views"}
    lookback: Annotated[int, Field(ge=0)] = Field(default=0, description="Batches of history that features may read.")
    rowwise: bool = Field(
        default=False,
        description="Whether a row's features rest on nothing but the row; large batches are then scored in pieces.",
    )
    views: dict[str, Annotated[int, Field(gt=0)]] = Field(
        default={},
        description="Feature views whose values `features.py` gets as columns `VIEW.COLUMN` of the batch, each with "
        "its version ([feature views](feature-views.md)).",
    )

    @model_validator(mode="after")
    def _rowwise_reads_the_row_alone(self) -> Self:
        if self.rowwise and self.lookback:
            raise ValueError("rowwise: true and a lookback exclude each other; valid: lookback: 0, or rowwise: false")
        if self.rowwise and self.views:
            raise Misfit("rowwise: found true beside views; valid: rowwise: false, or no views")
        return self


class EstimatorConfig(Contract):
    """What is fitted."""

    task: Task = Field(description="What the estimator predicts.")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(default=0, description="Seed that `build_estimator` is given.")
    trusted_types: tuple[str, ...] = Field(
        default=(), description="Types that skops may load, beside those of common scikit-learn estimators."
    )
    time_limit: Limit = Field(default=HOUR, description="Time for one call of its code: features of a batch, a fit.")


class ModelConfig(Contract):
    """config.yaml: all that is particular to one model and is not code."""

    title: str = Field(description="The model's name for people; Airflow shows it.")
    description: str = Field(default="", description="What the model is for, in Markdown; Airflow shows it.")
    intended_use: str = Field(
        default="", description="What and whom its predictions are for, in Markdown; MLflow, card and page say it."
    )
    limitations: str = Field(
        default="", description="What it is not good for, in Markdown; MLflow, card and page say it."
    )
    owner: str = Field(default="evergreen", description="Owner of the model; Airflow, MLflow and its card name them.")
    schedule: ScheduleConfig
    source: Source = Field(
        description="Where rows come from. `source: {NAME: {…}}` gives it a name; more than one is refused so far."
    )
    rows: RowsConfig
    engine: Literal["local", "spark"] = Field(
        default="local",
        description="Where batches of more than 65,536 rows of a `rowwise` model are scored: in the task's process, or "
        "on a [Spark cluster](scale.md#on-spark), to the same bits.",
    )
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
    limits: LimitsConfig = LimitsConfig()
    serving: ServingConfig = ServingConfig()
    retention: RetentionConfig = RetentionConfig()

    @model_validator(mode="after")
    def _engine_fits(self) -> Self:
        if self.engine == "spark" and not self.features.rowwise:
            raise Misfit("engine: found spark for a model that may look beyond the row; valid: local, or rowwise: true")
        return self

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
        delay = self.labels.max_delay if isinstance(self.labels, LabelFeed) else 0
        beside = 2 * delay + self.features.lookback
        self.retention.require_room((*self.windows, self.check.window), beside, self.schedule.every)
        self._check_numbers()
        self._check_search()
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
        elif self.serving.canary is not None:
            raise Misfit("serving.canary: found labels: none; valid: with labels, which judge the challenger")
        return self

    def _check_divergences(self) -> None:
        watched = {name: column.type for name, column in self.rows.columns.items() if column.type in DIVERGENCES}
        for name, divergence in self.check.divergence.items():
            if name not in watched:
                valid = ", ".join(watched) or "none"
                raise Misfit(f"check.divergence: found {name!r}; valid: a column that can be compared: {valid}")
            fit = DIVERGENCES[watched[name]]
            if divergence not in fit:
                raise Misfit(
                    f"check.divergence.{name}: found {divergence!r} for {watched[name]}; valid: {', '.join(fit)}"
                )

    def _check_search(self) -> None:
        if self.training.search is not None and self.labels is None:
            raise Misfit("training.search: found with labels: none; valid: labels, by which parameters are compared")

    def _check_numbers(self) -> None:
        """A database has numbers of its own, some of which are kept as text: no format may read them."""
        feed = self.labels if isinstance(self.labels, LabelFeed) else self.source
        asked = dict(self.rows.columns) if isinstance(self.source, QueryConfig) else {}
        asked |= self.label_columns if isinstance(feed, QueryConfig) else {}
        for name, column in asked.items():
            if column.writes_numbers:
                raise Misfit(f"{name}: found decimal, thousands, unit; valid: in files alone, a query returns numbers")

    def _check_target(self, labels: LabelsInside) -> None:
        if isinstance(labels, LabelFeed) and set(labels.key) != set(self.rows.key):
            raise Misfit(f"labels.key: found {list(labels.key)}; valid: {list(self.rows.key)}")
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
