"""What a version was made with. It is packed with the version, and does not change with config.yaml."""

from dataclasses import replace
from datetime import timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from evergreen.config.contract import ModelConfig, Window
from evergreen.config.data_schema import DataSchema, LabelSchema
from evergreen.config.fields import HOUR, ColumnType
from evergreen.config.gate_config import MetricName, Task
from evergreen.config.training_config import SearchConfig

# A parameter of an estimator that can be searched for.
Param = bool | int | float | str | None


class ModelSpec(BaseModel):
    """The settings that shaped a version, and what came of fitting it.

    Whoever works with a version takes its settings from here: config.yaml may say something else by now.

    :ivar schema_number: of the form that it is written in.
    :ivar model: the model's id.
    :ivar metric: by which it was to be judged, and its constant is the best.
    :ivar lookback: batches before a batch that its features read.
    :ivar rowwise: whether they read nothing but the row.
    :ivar views: the feature views that they read, each with its version.
    :ivar time_limit: of one call of its own code.
    :ivar window: label batches that it may learn from.
    :ivar rows: about how many of their rows; None for all.
    :ivar search: how its parameters were to be searched for; None where estimator.py alone says them.
    :ivar params: those that the search has chosen, which a refit takes over; empty where none was better.
    :ivar target: name and type; empty for a model without labels.
    :ivar max_delay: batches that a label may come after its row; 0 where labels stand inside the rows.
    :ivar features: the names of its features, in order; None until it is fitted.
    :ivar constant: the best constant on what it learnt from; None until it is fitted, and without labels.
    :ivar left_out: labelled rows that it did not learn from, since their like are not due.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_number: Literal[1] = 1
    model: str
    task: Task
    metric: MetricName
    seed: int
    trusted_types: tuple[str, ...]
    time_limit: timedelta = HOUR
    lookback: int
    rowwise: bool
    views: dict[str, int] = {}
    window: Window
    rows: int | None = None
    key: tuple[str, ...]
    event_time: str
    columns: dict[str, ColumnType]
    search: SearchConfig | None = None
    params: dict[str, Param] = {}
    target: dict[str, ColumnType]
    max_delay: int
    features: tuple[str, ...] | None = None
    constant: float | None = None
    left_out: int = 0

    @classmethod
    def of(cls, model_id: str, config: ModelConfig, window: Window) -> Self:
        """What config.yaml says, for a model that is to be fitted.

        :param window: which of ``config.windows``.
        """
        schema = config.data_schema
        return cls(
            model=model_id,
            task=config.model.task,
            metric=config.gate.metric,
            seed=config.model.seed,
            trusted_types=config.model.trusted_types,
            time_limit=config.model.time_limit,
            lookback=config.features.lookback,
            rowwise=config.features.rowwise,
            views=config.features.views,
            window=window,
            rows=config.training.rows,
            search=config.training.search,
            key=schema.key,
            event_time=schema.event_time,
            columns=dict(schema.columns),
            target=schema.target,
            max_delay=schema.labels.max_delay if schema.labels is not None else 0,
        )

    @property
    def recipe(self) -> Self:
        """The settings alone, as they were before the version was fitted."""
        return self.model_copy(update={"features": None, "constant": None, "left_out": 0})

    def has_recipe_of(self, other: "ModelSpec") -> bool:
        """Whether another version's settings would make the same predictions."""
        # As they are written: a column's default of null and none at all are equal as values.
        mine, others = (one.recipe.model_dump(mode="json", exclude={"metric", "time_limit"}) for one in (self, other))
        return bool(mine == others)

    def data_schema(self, today: DataSchema) -> DataSchema:
        """The version's own key, columns and label, which also answer to today's names.

        :param today: what config.yaml says, under whose names rows are sealed.
        """
        labels = None
        for name, column in self.target.items():
            labels = LabelSchema(name, column, self.max_delay)
        own = replace(today, key=self.key, event_time=self.event_time, columns=self.columns, labels=labels)
        return own.answering(today)
