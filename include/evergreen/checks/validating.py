"""Sorting a batch: every row that arrived goes either to clean or to quarantine, with its reason."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.checks.batch_statistics import Statistics
from evergreen.checks.expectations import check_expectations
from evergreen.checks.proving import columns_of, find_unproven
from evergreen.checks.quarantine import blame, keep_failing, summarise
from evergreen.checks.row_faults import (
    RowFailures,
    Span,
    find_duplicates,
    find_far_times,
    find_nulls,
    find_standing,
    in_order,
)
from evergreen.config.expectations_config import ExpectationConfig
from evergreen.config.fields import ColumnType
from evergreen.records import Reason
from evergreen.sources.casting import CastColumn, cast_column
from evergreen.sources.tables import ParsedFile
from evergreen.storage.columns import arrow_type, fill, find_column
from evergreen.storage.frames import to_frame
from evergreen.storage.pieces import ROWS


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


@dataclass(frozen=True)
class ValidatedBatch:
    """A batch taken apart.

    :param clean: (clean rows, declared columns) sorted by key; no rows if the batch is rejected.
    :param quarantine: (quarantined rows, QUARANTINE columns).
    :param rejected: whether the batch failed as a whole.
    :param reasons: why rows or the batch failed, by expectation.
    :param left_out: columns of the files that the contract does not declare.
    :param statistics: of the clean rows; None where they have not been counted.
    """

    clean: pa.Table
    quarantine: pa.Table
    rejected: bool
    reasons: tuple[Reason, ...]
    left_out: tuple[str, ...]
    statistics: Statistics | None = None

    @property
    def rows_in(self) -> int:
        """Rows that arrived."""
        return int(self.clean.num_rows + self.quarantine.num_rows)


def validate_files(files: list[ParsedFile], rules: Rules) -> ValidatedBatch:
    """Cast, drop duplicates, ask the expectations; tell clean rows from the others.

    :param files: the batch's files in the order of its record.
    :returns: the batch taken apart; rows in equal clean and quarantined rows.
    """
    left_out = tuple(sorted({name for f in files for name in _undeclared(f, rules)}))
    casts = [_cast_file(f, rules) for f in files]
    refused = [reason for _, reasons in casts for reason in reasons]
    total = sum(f.rows.num_rows + len(f.torn) for f in files)
    if total == 0 and not refused and not rules.may_be_empty:
        names = ", ".join(f.name for f in files) or "no file"
        refused = [Reason(expectation="rows arrived", found=f"no rows in {names}", rows=0, file=names)]
    if refused:
        return reject(files, refused, left_out)
    failed = RowFailures()
    rows = _join(files, [columns for columns, _ in casts], rules, failed)
    find_nulls(rows, rules.required, failed)
    find_far_times(rows, rules.span, failed)
    # Where each row of the sorted ones stands among all that arrived.
    order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in rules.key])
    places = order.to_numpy().astype(np.int64)
    rows = in_order(rows, places)
    find_duplicates(rows, places, list(rules.key), failed)
    standing, places = find_standing(rows, places, failed)
    whole, noted, declared, counted = _expect(standing, places, rules, failed)
    reasons = [*summarise(failed.failures, files), *noted, *_note_defaults(files, rules)]
    broken = len(failed.failures) + sum(len(f.torn) for f in files)
    if broken > rules.max_quarantined * total:
        found = f"{broken} of {total} rows failed, more than {rules.max_quarantined:.0%}"
        found += blame(reasons, declared, rules.path.name)
        whole.append(Reason(expectation="max_quarantined", found=found, rows=broken))
    if whole:
        return reject(files, [*whole, *reasons], left_out, failed)
    clean = find_standing(standing, places, failed)[0].combine_chunks()
    quarantine = keep_failing(files, failed.failures, ())
    statistics = counted if clean.num_rows == standing.num_rows else None
    validated = ValidatedBatch(clean, quarantine, False, tuple(reasons), left_out, statistics)
    if validated.rows_in != total:
        raise AssertionError(f"{total} rows arrived, {clean.num_rows} clean and {quarantine.num_rows} quarantined")
    return validated


def reject(
    files: list[ParsedFile], whole: list[Reason], left_out: tuple[str, ...] = (), failed: RowFailures | None = None
) -> ValidatedBatch:
    """Send all rows of a batch to quarantine, with what was wrong with the batch as a whole."""
    quarantine = keep_failing(files, (failed or RowFailures()).failures, tuple(whole))
    return ValidatedBatch(pa.table({}), quarantine, True, tuple(whole), left_out)


def _undeclared(file: ParsedFile, rules: Rules) -> list[str]:
    """Columns of a file that no declared one is read from."""
    present = file.rows.column_names
    read = {find_column(name, declared, present) for name, declared in rules.columns.items()}
    return sorted(set(present) - read)


def _cast_file(file: ParsedFile, rules: Rules) -> tuple[dict[str, CastColumn], list[Reason]]:
    """The declared columns of a file in their types, and what is wrong with its columns as such."""
    columns: dict[str, CastColumn] = {}
    reasons = []
    for name, declared in rules.columns.items():
        source = find_column(name, declared, file.rows.column_names)
        if source is None and declared.has_default:
            none = np.zeros(file.rows.num_rows, dtype=bool)
            columns[name] = CastColumn(fill(declared, file.rows.num_rows), none, "")
            continue
        if source is None:
            found = f"no such column; undeclared ones are {', '.join(_undeclared(file, rules)) or 'none'}"
            reasons.append(Reason(expectation="declared columns", column=name, found=found, rows=0, file=file.name))
            continue
        try:
            columns[name] = cast_column(file.rows.column(source), declared, rules.nulls)
        except TypeError as error:
            reasons.append(Reason(expectation="declared types", column=name, found=str(error), rows=0, file=file.name))
    return columns, reasons


def _note_defaults(files: list[ParsedFile], rules: Rules) -> list[Reason]:
    """Columns that a file does not have and that their default fills: told, and no fault."""
    return [
        Reason(
            expectation="default", column=name, found=f"no such column, filled with {declared.default!r}",
            rows=file.rows.num_rows, file=file.name,
        )
        for file in files
        for name, declared in rules.columns.items()
        if declared.has_default and find_column(name, declared, file.rows.column_names) is None
    ]  # fmt: skip


def _join(files: list[ParsedFile], casts: list[dict[str, CastColumn]], rules: Rules, failed: RowFailures) -> pa.Table:
    """The rows of all files in declared types; values that do not cast are noted."""
    schema = pa.schema([(name, arrow_type(declared)) for name, declared in rules.columns.items()])
    offset, tables = 0, list[pa.Table]()
    for file, columns in zip(files, casts, strict=True):
        for name, cast in columns.items():
            source = find_column(name, rules.columns[name], file.rows.column_names)
            for row in np.flatnonzero(cast.failed):
                found = f"{file.value(str(source), int(row))!r} is not {cast.expected}"
                failed.add([offset + row], f"reads as {rules.columns[name].type}", name, found)
        tables.append(pa.table({name: cast.values for name, cast in columns.items()}, schema=schema))
        offset += file.rows.num_rows
    # Those of one file are not copied.
    return pa.concat_tables(tables or [schema.empty_table()]).combine_chunks()


def _expect(
    rows: pa.Table, places: np.ndarray, rules: Rules, failed: RowFailures
) -> tuple[list[Reason], list[Reason], set[str], Statistics | None]:
    """Ask the expectations of the rows that stand so far; of many those that their statistics leave open.

    :param rows: (rows, columns) sorted by key.
    :param places: (rows,) where each stands among all that arrived.
    :returns: what fails the batch as a whole, what is only noted, the names of all that failed, and the statistics of
        many rows.
    """
    if not rows.num_rows:
        return [], [], set(), None
    whole: list[Reason] = []
    noted: list[Reason] = []
    counted, asked, names = None, rules.expected, rows.column_names
    if rows.num_rows > ROWS:
        counted = Statistics.of(rows, rules.columns)
        asked = find_unproven(rows, counted, rules.expected, rules.path)
        names = columns_of(asked, names)
    arrived = np.argsort(places)
    frame = to_frame(in_order(rows.select(names), arrived)) if asked else pd.DataFrame()
    failures = check_expectations(frame, asked, rules.path)
    for failure in failures:
        if failure.severity == "warning" and len(failure.rows):
            failed.add(places[arrived[failure.rows]], failure.expectation, failure.column, failure.found)
            continue
        reason = Reason(
            expectation=failure.expectation, column=failure.column, found=failure.found, rows=len(failure.rows)
        )
        (whole if failure.severity == "critical" else noted).append(reason)
    return whole, noted, {failure.expectation for failure in failures}, counted
