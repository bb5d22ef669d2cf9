"""What reading a file comes to: rows, their numbers, and what could not be taken apart."""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from evergreen.storage.pieces import ROWS

_BY_POSITION = re.compile(r"field \d+ \((.*)\)")


def name_fields(header: list[str], declared: Collection[str] = ()) -> list[str]:
    """The header's names, each once: a field without a name, or of a name that stands twice, is called by its position.

    :param declared: names that have to be told apart.
    :raises ValueError: naming those of them that stand twice.
    """
    times = Counter(header)
    double = sorted(name for name in times if times[name] > 1 and name in declared)
    if double:
        raise ValueError(f"the header names {', '.join(double)} twice; expected each column once")
    return [
        name if times[name] == 1 and name.strip() else f"field {i} ({name.strip()})"
        for i, name in enumerate(header, start=1)
    ]


def count_lines(text: str) -> int:
    """The lines of a text, the last one too where nothing ends it."""
    breaks = text.count("\n")
    if "\r" in text:
        breaks += text.count("\r") - text.count("\r\n")
    return breaks + (not text.endswith(("\n", "\r")))


def name_given(column: str) -> str | None:
    """The name that the header gives to a field that is called by its position; None for any other column."""
    found = _BY_POSITION.fullmatch(column)
    return found[1] if found else None


@dataclass(frozen=True)
class TornRow:
    """A row whose fields cannot be told apart: its number in the file, its text, and what is wrong.

    :param ends: whether it lacks fields and is the file's last one, so that the file may have been cut.
    """

    number: int
    text: str
    problem: str
    ends: bool = False


@dataclass(frozen=True)
class Unread:
    """Rows of a file that is too large to be held: they are read piece by piece, each time anew.

    :param schema: the file's names and types.
    :param nbytes: what they take in memory, by the file's word.
    :param read: begins to read pieces of some columns, or of all; texts may come as dictionaries. Raises
        ``FileUnreadable`` where the file turns out not to be what it says.
    """

    schema: pa.Schema
    num_rows: int
    nbytes: int
    read: Callable[[Collection[str] | None], Iterator[pa.Table]]


@dataclass(frozen=True)
class ParsedFile:
    """The rows of one file.

    :param name: the file's name.
    :param held: its columns under the names that it gives them; of CSV and JSON Lines all text. A field without a name
        of its own, such as ``field 3 (price)`` where two are called price, can be kept and is no column of a contract.
    :param numbers: (rows,) the number of each row in the file, 1 for the first one below the header; of JSON Lines the
        number of the line.
    :param torn: rows that could not be taken apart.
    :param texts: (rows,) each row as it was written, where that says more than its columns; else empty.
    """

    name: str
    held: pa.Table | Unread
    numbers: Sequence[int] | np.ndarray
    torn: tuple[TornRow, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def num_rows(self) -> int:
        """How many rows it has."""
        return int(self.held.num_rows)

    @property
    def column_names(self) -> list[str]:
        """Its columns."""
        return list(self.held.schema.names)

    @property
    def rows(self) -> pa.Table:
        """All rows at once."""
        if not isinstance(self.held, Unread):
            return self.held
        none = self.held.schema.empty_table()
        return pa.concat_tables([none, *(piece.cast(self.held.schema) for piece in self.pieces())])

    def pieces(self, columns: Collection[str] | None = None) -> Iterator[pa.Table]:
        """Its rows piece by piece; one piece at least.

        :param columns: only these; by default all.
        """
        if isinstance(self.held, Unread):
            yield from self.held.read(columns)
            return
        rows = self.held if columns is None else self.held.select(list(columns))
        for start in range(0, max(self.num_rows, 1), ROWS):
            yield rows.slice(start, min(ROWS, self.num_rows - start))

    def contents(self, piece: pa.Table, start: int, positions: Iterable[int]) -> list[str]:
        """Rows of a piece as they came, each as one text.

        :param start: where the piece begins among the file's rows.
        :param positions: of the rows within the piece.
        """
        chosen = list(positions)
        if self.texts:
            return [self.texts[start + position] for position in chosen]
        rows = piece.take(pa.array(chosen, pa.int64()))
        columns = {name: readable(rows.column(name)) for name in rows.column_names}
        return [
            json.dumps({name: column[i] for name, column in columns.items()}, default=str) for i in range(len(chosen))
        ]


def readable(values: pa.ChunkedArray) -> list[Any]:
    """Values as a file has them."""
    try:
        return list(values.to_pylist())
    except (ValueError, OverflowError):
        # A moment beyond the year 9999, which Python's own cannot hold: the number that is stored.
        return [f"{given} ({values.type})" if given is not None else None for given in _numbers(values)]


def _numbers(values: pa.ChunkedArray) -> list[int | None]:
    stored = pa.int32() if pa.types.is_date32(values.type) else pa.int64()
    return list(values.cast(stored).to_pylist())
