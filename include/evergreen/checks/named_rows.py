"""Which rows are meant by values of a column: a person's, say, wherever they stand."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.checks.failing_rows import QUARANTINE
from evergreen.config.contract import ModelConfig
from evergreen.config.fields import ColumnType
from evergreen.errors import Refused
from evergreen.features.answers import ANSWERS
from evergreen.foreign_text import HALF
from evergreen.sources.casting import cast_column
from evergreen.storage.columns import find_column

# A number of fewer digits may stand in a text for anything.
_TELLING = 6


@dataclass(frozen=True)
class NamedRows:
    """Rows by the values of some of their columns, and by the keys that these rows were found to have.

    :param config: the model's contract.
    :param columns: declared columns.
    :param values: one for each, as text.
    :param keys: (n, key) of the rows that were found; None while none was looked for.
    """

    config: ModelConfig
    columns: tuple[str, ...]
    values: tuple[str, ...]
    keys: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        declared, named = self.config.rows.columns, ", ".join(self.columns)
        if unknown := [name for name in self.columns if name not in declared]:
            raise Refused(f"column: found {unknown[0]!r}; valid: one of {', '.join(declared)}")
        if len(self.columns) != len(self.values):
            raise Refused(f"key: found {len(self.values)} values; valid: one for each of {named}")
        if empty := [name for name, value in zip(self.columns, self.values, strict=True) if not value.strip()]:
            # It would mean each row that has no value there, and be found in every text.
            raise Refused(f"key: found an empty value of {empty[0]}; valid: what names the rows, such as a key")
        for name, value in zip(self.columns, self.values, strict=True):
            if HALF.search(value):
                raise Refused(f"key: found a value of {name} that is no text; valid: characters of Unicode")
            if cast_column(pa.chunked_array([[value]]), declared[name], ()).values.null_count:
                raise Refused(f"key: found a value that is no {declared[name].type}, as {name} is; valid: one that is")

    def with_keys(self, found: Iterable[pd.DataFrame]) -> "NamedRows":
        """The same, known by the keys of the rows that were found."""
        return replace(self, keys=pd.concat([self._empty(), *found], ignore_index=True).drop_duplicates())

    def keys_of(self, rows: pa.Table) -> pd.DataFrame:
        """Of the rows of a table that are meant, the keys."""
        fields = self._fields(rows)
        read = {name: _typed(fields, name, self._declared(name)) for name in self.config.rows.key}
        if any(column is None for column in read.values()):
            return self._empty()
        return pd.DataFrame(pa.table(read).filter(pa.array(self._mask(fields))).to_pandas()).dropna()

    def mask(self, rows: pa.Table) -> np.ndarray:
        """(rows,) which of the rows of a table or a file are meant; of quarantined ones, by what they held."""
        meant = self._mask(self._fields(rows))
        if _is_quarantine(rows):
            whole = [one if isinstance(one, str) else "" for one in _read_contents(rows)]
            meant = meant | self.mask_texts(whole)
        return meant

    def _mask(self, rows: pa.Table) -> np.ndarray:
        meant = np.zeros(rows.num_rows, dtype=bool)
        columns = [_typed(rows, name, self._declared(name)) for name in self.columns]
        if all(column is not None for column in columns):
            same = [
                _equals(column, value, self._declared(name))
                for name, value, column in zip(self.columns, self.values, columns, strict=True)
            ]
            meant = np.logical_and.reduce(same)
        own = {name: _typed(rows, name, self._declared(name)) for name in self.config.rows.key}
        if self.keys is None or self.keys.empty or any(column is None for column in own.values()):
            return meant
        wanted = pd.MultiIndex.from_frame(self.keys)
        found: np.ndarray = meant | pd.MultiIndex.from_frame(pa.table(own).to_pandas()).isin(wanted)
        return found

    def _fields(self, rows: pa.Table) -> pa.Table:
        """Rows with their columns; of quarantined ones and of answers, with those of what they held that may tell."""
        is_answered = set(ANSWERS.names) <= set(rows.column_names)
        if not (is_answered or _is_quarantine(rows)):
            return rows
        contents = _read_contents(rows, "values" if is_answered else "content")
        held = [one if isinstance(one, dict) else {} for one in contents]
        names = {one for name in {*self.columns, *self.config.rows.key} for one in self._names(name)}
        columns = {name: [_text(row.get(name)) for row in held] for name in sorted(names)}
        return pa.table(
            {name: pa.array(texts, pa.string()) for name, texts in columns.items() if any(texts)}
            or {"": pa.nulls(len(held))}
        )

    def mask_texts(self, texts: Iterable[str]) -> np.ndarray:
        """Which of some texts, whose fields cannot be told apart, hold the values."""
        patterns = [re.compile(_bounded(value)) for value in self.values]
        return np.array([all(pattern.search(text) for pattern in patterns) for text in texts], dtype=bool)

    def blotted(self, quarantined: Iterable[str]) -> re.Pattern[str]:
        """What has to go from texts for people: the values and keys, and in quotes all that quarantined rows held.

        :param quarantined: the contents of the rows that are meant.
        """
        keys = [str(one) for one in self.keys.to_numpy().ravel()] if self.keys is not None else []
        own = [*self.values, *keys]
        bare = [_bounded(one) for one in own if len(one) >= _TELLING or re.search("[^0-9.+-]", one)]
        held = [one for content in quarantined for one in _held(content)]
        quoted = [re.escape(repr(one)) for one in dict.fromkeys([*own, *held]) if one]
        return re.compile("|".join([*quoted, *bare]))

    def _names(self, name: str) -> tuple[str, ...]:
        return name, *self.config.rows.columns[name].renamed_from

    def _declared(self, name: str) -> ColumnType:
        return self.config.rows.columns[name]

    def _empty(self) -> pd.DataFrame:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in self.config.rows.key})


def _is_quarantine(rows: pa.Table) -> bool:
    return set(QUARANTINE.names) <= set(rows.column_names)


def _read_contents(rows: pa.Table, column: str = "content") -> list[Any]:
    return [json.loads(content) for content in rows.column(column).to_pylist()]


def _typed(rows: pa.Table, name: str, declared: ColumnType) -> pa.Array | None:
    """A declared column of rows as it is stored, from a table or as a file has it; None where it has none."""
    source = find_column(name, declared, rows.column_names)
    try:
        return cast_column(rows.column(source), declared, ()).values if source is not None else None
    except TypeError:
        return None


def _equals(column: pa.Array, value: str, declared: ColumnType) -> np.ndarray:
    wanted = cast_column(pa.chunked_array([[value]]), declared, ()).values[0]
    same: np.ndarray = pc.fill_null(pc.equal(column, wanted), False).to_numpy(zero_copy_only=False)
    return same


def _bounded(value: str) -> str:
    return rf"(?<![0-9A-Za-z]){re.escape(value)}(?![0-9A-Za-z])"


def _text(value: Any) -> str | None:
    return None if value is None or isinstance(value, Mapping | list) else str(value)


def _held(content: str) -> list[str]:
    """The texts that a quarantined row held."""
    read = json.loads(content)
    return [str(one) for one in read.values() if one is not None] if isinstance(read, dict) else [str(read)]
