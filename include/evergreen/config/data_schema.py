"""The schema that rows and labels are read under: that of config.yaml, or the one that a version was made with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from evergreen.batches import Calendar
from evergreen.config.fields import ColumnType


@dataclass(frozen=True)
class LabelSchema:
    """The label of a row.

    :param column: name of the target.
    :param type: its declared type.
    :param max_delay: batches that it may come after its row; 0 where labels stand inside the rows.
    """

    column: str
    type: ColumnType
    max_delay: int


@dataclass(frozen=True)
class DataSchema:
    """Batches, columns and label of a model.

    :param calendar: its batches.
    :param key: the columns that tell one row from another.
    :param event_time: the column that says when a row happened.
    :param columns: the columns of a row.
    :param labels: None for a model without labels.
    """

    calendar: Calendar
    key: tuple[str, ...]
    event_time: str
    columns: Mapping[str, ColumnType]
    labels: LabelSchema | None

    @property
    def key_columns(self) -> dict[str, ColumnType]:
        """The columns of the key."""
        return {name: self.columns[name] for name in self.key}

    @property
    def target(self) -> dict[str, ColumnType]:
        """The target by its name; empty without labels."""
        return {self.labels.column: self.labels.type} if self.labels is not None else {}

    @property
    def label_columns(self) -> dict[str, ColumnType]:
        """Key and target, as a label feed declares them; empty without labels."""
        return self.key_columns | self.target if self.labels is not None else {}

    @property
    def fingerprint(self) -> str:
        """All that decides how stored rows and labels are read, as one text."""
        columns = {
            name: column.model_dump(mode="json") for name, column in [*self.columns.items(), *self.target.items()]
        }
        return json.dumps([self.key, self.event_time, list(self.target), columns])

    def answering(self, today: "DataSchema") -> "DataSchema":
        """The same schema, of which each column also answers to the names that it has in today's: rows that were sealed
        since can be read as well.
        """
        labels = self.labels
        if labels is not None and today.labels is not None:
            labels = replace(labels, type=_answering(self.target, today.target)[labels.column])
        return replace(self, columns=_answering(self.columns, today.columns), labels=labels)

    def name_then(self, name: str, today: "DataSchema") -> str:
        """What this schema calls a column of today's."""
        return next((one for one in (name, *today.columns[name].renamed_from) if one in self.columns), name)


def _answering(columns: Mapping[str, ColumnType], today: Mapping[str, ColumnType]) -> dict[str, ColumnType]:
    """Columns that answer to today's names too, each name to one column."""
    taken = {*columns, *(old for column in columns.values() for old in column.renamed_from)}
    answering = {}
    for name, column in columns.items():
        now = next(((one, *c.renamed_from) for one, c in today.items() if name in (one, *c.renamed_from)), ())
        others = tuple(one for one in now if one not in taken)
        answering[name] = column.model_copy(update={"renamed_from": (*column.renamed_from, *others)})
    return answering
