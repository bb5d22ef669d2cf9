"""Rows as they arrive: files are read once, in pieces; what is wrong with a row by itself is found as it passes."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from evergreen.checks.row_faults import RowFailures, Span, find_far_times, find_nulls
from evergreen.config.expectations_config import ExpectationConfig
from evergreen.config.fields import ColumnType
from evergreen.foreign_text import spelt_out
from evergreen.records import Reason
from evergreen.sources.casting import CastColumn, cast_column
from evergreen.sources.tables import ParsedFile, readable
from evergreen.storage.columns import arrow_type, fill, find_column
from evergreen.storage.content import row_hashes
from evergreen.storage.set_aside import Repeats, SetAside


@dataclass(frozen=True)
class Rules:
    """What a batch must be.

    :param columns: declared columns.
    :param key: columns that name a row.
    :param required: columns in which a null is a fault.
    :param nulls: texts that stand for a missing value.
    :param expected: expectations.
    :param max_quarantined: share of rows above which the batch as a whole is rejected.
    :param path: expectations.yaml, for messages.
    :param may_be_empty: whether a batch without a row is sound: none of the labels may have become known in it.
    :param span: column of the event time, and the moments between which it has to lie; None where it may be any.
    """

    columns: dict[str, ColumnType]
    key: tuple[str, ...]
    required: tuple[str, ...]
    nulls: tuple[str, ...]
    expected: tuple[ExpectationConfig, ...]
    max_quarantined: float
    path: Path
    may_be_empty: bool = False
    span: Span | None = None


@dataclass
class Arrived:
    """Rows of files that were cast, and what is wrong with each.

    :param rows: in declared types, in the order of their files.
    :param keys: hashes of the keys of those with which nothing is wrong.
    :param refused: what is wrong with the columns of a file as such.
    """

    rows: SetAside
    keys: Repeats = field(default_factory=Repeats)
    failed: RowFailures = field(default_factory=RowFailures)
    refused: dict[tuple[str, str], Reason] = field(default_factory=dict)


def cast_files(files: list[ParsedFile], rules: Rules) -> Arrived:
    """Read files once, and cast their rows; what is wrong with a row as such is noted."""
    schema = pa.schema([(name, arrow_type(declared)) for name, declared in rules.columns.items()])
    arrived, start = Arrived(SetAside(schema)), 0
    for file in files:
        for piece in file.pieces():
            columns = _cast_piece(file, piece, rules, arrived.refused)
            if not arrived.refused:
                before = len(arrived.failed.failures)
                _note_uncast(piece, start, columns, rules, arrived.failed)
                rows = pa.table({name: cast.values for name, cast in columns.items()}, schema=schema)
                find_nulls(rows, start, rules.required, arrived.failed)
                find_far_times(rows, start, rules.span, arrived.failed)
                # Those that failed last are of this piece.
                new = len(arrived.failed.failures) - before
                failed = np.fromiter(itertools.islice(reversed(arrived.failed.failures), new), np.int64, new)
                places = np.delete(np.arange(start, start + rows.num_rows), failed - start)
                arrived.keys.add(np.delete(row_hashes(rows.select(rules.key), "key"), failed - start), places)
                arrived.rows.append(rows)
            start += piece.num_rows
    return arrived


def find_undeclared(file: ParsedFile, rules: Rules) -> list[str]:
    """Columns of a file that no declared one is read from."""
    present = file.column_names
    read = {find_column(name, declared, present) for name, declared in rules.columns.items()}
    return sorted(set(present) - read)


def _cast_piece(
    file: ParsedFile, piece: pa.Table, rules: Rules, refused: dict[tuple[str, str], Reason]
) -> dict[str, CastColumn]:
    """The declared columns of a piece in their types; what is wrong with its columns as such is noted once a file."""
    columns: dict[str, CastColumn] = {}
    for name, declared in rules.columns.items():
        source = find_column(name, declared, piece.column_names)
        if source is None and declared.has_default:
            none = np.zeros(piece.num_rows, dtype=bool)
            columns[name] = CastColumn(fill(declared, piece.num_rows), none, "")
            continue
        if source is None:
            others = ", ".join(map(spelt_out, find_undeclared(file, rules))) or "none"
            found = f"no such column; undeclared ones are {others}"
            reason = Reason(expectation="declared columns", column=name, found=found, rows=0, file=file.name)
            refused.setdefault((file.name, name), reason)
            continue
        try:
            columns[name] = cast_column(piece.column(source), declared, rules.nulls)
        except TypeError as error:
            reason = Reason(expectation="declared types", column=name, found=str(error), rows=0, file=file.name)
            refused.setdefault((file.name, name), reason)
    return columns


def _note_uncast(
    piece: pa.Table, start: int, columns: dict[str, CastColumn], rules: Rules, failed: RowFailures
) -> None:
    """Note values that do not cast.

    :param start: the place of the piece's first row.
    """
    for name, cast in columns.items():
        source = find_column(name, rules.columns[name], piece.column_names)
        for row in np.flatnonzero(cast.failed):
            given = readable(piece.column(str(source)).slice(int(row), 1))[0]
            kind = rules.columns[name].type
            failed.add([start + row], f"reads as {kind}", name, f"{given!r} is not {cast.expected}")
