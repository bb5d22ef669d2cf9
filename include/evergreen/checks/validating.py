"""Sorting a batch: every row that arrived goes either to clean or to quarantine, with its reason."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.checks.expectations import check_expectations
from evergreen.checks.quarantine import Failures, blame, keep_failing, summarise
from evergreen.config.expectations_config import ExpectationConfig
from evergreen.config.fields import ColumnType
from evergreen.records import Reason
from evergreen.sources.casting import CastColumn, cast_column
from evergreen.sources.tables import ParsedFile
from evergreen.storage.columns import arrow_type, fill, find_column
from evergreen.storage.lake import naive, to_frame


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
    span: tuple[str, datetime, datetime] | None = None


@dataclass(frozen=True)
class ValidatedBatch:
    """A batch taken apart.

    :param clean: (clean rows, declared columns) sorted by key; no rows if the batch is rejected.
    :param quarantine: (quarantined rows, QUARANTINE columns).
    :param rejected: whether the batch failed as a whole.
    :param reasons: why rows or the batch failed, by expectation.
    :param left_out: columns of the files that the contract does not declare.
    """

    clean: pa.Table
    quarantine: pa.Table
    rejected: bool
    reasons: tuple[Reason, ...]
    left_out: tuple[str, ...]

    @property
    def rows_in(self) -> int:
        """Rows that arrived."""
        return int(self.clean.num_rows + self.quarantine.num_rows)


@dataclass
class _RowFailures:
    """Reasons by position of the row among all that arrived."""

    failures: Failures = field(default_factory=dict)

    def add(self, rows: Any, expectation: str, column: str | None, found: str) -> None:
        for row in rows:
            self.failures.setdefault(int(row), []).append((expectation, column, found))


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
    failed = _RowFailures()
    rows = _join(files, [columns for columns, _ in casts], rules, failed)
    _find_nulls(rows, rules, failed)
    _find_far_times(rows, rules, failed)
    _find_duplicates(rows, rules, failed)
    whole, noted, declared = _expect(rows, rules, failed)
    reasons = [*summarise(failed.failures, files), *noted, *_note_defaults(files, rules)]
    broken = len(failed.failures) + sum(len(f.torn) for f in files)
    if broken > rules.max_quarantined * total:
        found = f"{broken} of {total} rows failed, more than {rules.max_quarantined:.0%}"
        found += blame(reasons, declared, rules.path.name)
        whole.append(Reason(expectation="max_quarantined", found=found, rows=broken))
    if whole:
        return reject(files, [*whole, *reasons], left_out, failed)
    keep = np.array([i not in failed.failures for i in range(rows.num_rows)], dtype=bool)
    clean = rows.filter(pa.array(keep)).sort_by([(name, "ascending") for name in rules.key]).combine_chunks()
    quarantine = keep_failing(files, failed.failures, ())
    validated = ValidatedBatch(clean, quarantine, False, tuple(reasons), left_out)
    if validated.rows_in != total:
        raise AssertionError(f"{total} rows arrived, {clean.num_rows} clean and {quarantine.num_rows} quarantined")
    return validated


def reject(
    files: list[ParsedFile], whole: list[Reason], left_out: tuple[str, ...] = (), failed: _RowFailures | None = None
) -> ValidatedBatch:
    """Send all rows of a batch to quarantine, with what was wrong with the batch as a whole."""
    quarantine = keep_failing(files, (failed or _RowFailures()).failures, tuple(whole))
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


def _join(files: list[ParsedFile], casts: list[dict[str, CastColumn]], rules: Rules, failed: _RowFailures) -> pa.Table:
    """The rows of all files in declared types; values that do not cast are noted."""
    schema = pa.schema([(name, arrow_type(declared)) for name, declared in rules.columns.items()])
    offset, tables = 0, [schema.empty_table()]
    for file, columns in zip(files, casts, strict=True):
        for name, cast in columns.items():
            source = find_column(name, rules.columns[name], file.rows.column_names)
            for row in np.flatnonzero(cast.failed):
                found = f"{file.value(str(source), int(row))!r} is not {cast.expected}"
                failed.add([offset + row], f"reads as {rules.columns[name].type}", name, found)
        tables.append(pa.table({name: cast.values for name, cast in columns.items()}, schema=schema))
        offset += file.rows.num_rows
    return pa.concat_tables(tables).combine_chunks()


def _find_nulls(rows: pa.Table, rules: Rules, failed: _RowFailures) -> None:
    for name in rules.required:
        missing = np.flatnonzero(pc.is_null(rows.column(name)).to_numpy())
        failed.add([row for row in missing if row not in failed.failures], "not null", name, f"{name} is missing")


def _find_far_times(rows: pa.Table, rules: Rules, failed: _RowFailures) -> None:
    """Event times far from the batch are slips of the pen, or of a clock."""
    if rules.span is None:
        return
    name, first, last = rules.span
    moments = rows.column(name).cast(pa.timestamp("us", tz="UTC"))
    limits = [pa.scalar(moment, pa.timestamp("us", tz="UTC")) for moment in (first, last)]
    far = pc.fill_null(pc.or_(pc.less(moments, limits[0]), pc.greater(moments, limits[1])), fill_value=False)
    for row in np.flatnonzero(far.to_numpy()):
        at = f"{moments[int(row)].as_py():%Y-%m-%d}"
        found = (
            f"{at} lies outside {first:%Y-%m-%d} to {last:%Y-%m-%d}; source.late in config.yaml reaches further back"
        )
        failed.add([row], "near its batch", name, found)


def _find_duplicates(rows: pa.Table, rules: Rules, failed: _RowFailures) -> None:
    """Of equal copies the first stays. Copies that differ all go: nothing tells which of them is right."""
    # Beside a null, whole numbers would become floats for pandas, and large ones would meet.
    standing = np.array([i for i in range(rows.num_rows) if i not in failed.failures], dtype=np.int64)
    frame = naive(rows.take(pa.array(standing))).to_pandas(integer_object_nulls=True).set_index(standing)
    key = list(rules.key)
    copied = frame[frame.duplicated(key, keep=False)]
    if copied.empty:
        return
    equal = copied.duplicated(keep=False) & (
        copied.groupby(key, sort=False)[key[0]].transform("size")
        == copied.groupby(list(copied.columns), sort=False, dropna=False)[key[0]].transform("size")
    )
    label = "unique by " + ", ".join(key)
    failed.add(copied.index[equal & copied.duplicated(key, keep="first")], label, key[0], "an equal copy came before")
    failed.add(copied.index[~equal], label, key[0], "copies of this key differ from one another")


def _expect(rows: pa.Table, rules: Rules, failed: _RowFailures) -> tuple[list[Reason], list[Reason], set[str]]:
    """Ask the expectations of the rows that stand so far.

    :returns: what fails the batch as a whole, what is only noted, and the names of all that failed.
    """
    standing = np.array([i for i in range(rows.num_rows) if i not in failed.failures], dtype=np.int64)
    if not len(standing):
        return [], [], set()
    whole: list[Reason] = []
    noted: list[Reason] = []
    failures = check_expectations(to_frame(rows.take(pa.array(standing))), rules.expected, rules.path)
    for failure in failures:
        if failure.severity == "warning" and len(failure.rows):
            failed.add(standing[failure.rows], failure.expectation, failure.column, failure.found)
            continue
        reason = Reason(
            expectation=failure.expectation, column=failure.column, found=failure.found, rows=len(failure.rows)
        )
        (whole if failure.severity == "critical" else noted).append(reason)
    return whole, noted, {failure.expectation for failure in failures}
