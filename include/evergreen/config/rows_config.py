"""`rows`: the columns of a row."""

import unicodedata
from typing import Self

from pydantic import Field, model_validator

from evergreen.config.feeds_config import QUARANTINED
from evergreen.config.fields import Column, Contract, Misfit, Percent

# Columns that the loop itself adds.
RESERVED = {"batch", "revision", "known", "prediction", "model_version", "data_version"}


class RowsConfig(Contract):
    """The columns of a row; what stands in a file beside them is left out of the clean table."""

    key: tuple[str, ...] = Field(
        min_length=1,
        description="Columns that together name a row. They stay, under these names or with `renamed_from`.",
    )
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
        alike: dict[str, str] = {}
        for name in self.columns:
            first = alike.setdefault(unicodedata.normalize("NFC", name).strip(), name)
            if first != name:
                raise Misfit(f"columns: found {first!a} and {name!a}, which look alike; valid: one of the two")
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
