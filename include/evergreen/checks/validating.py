"""Sorting a batch: every row that arrived goes either to clean or to quarantine, with its reason.

Files are read once, piece by piece, and cast as they pass; what comes of it is set aside, and asked from there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from evergreen.checks.arrived_rows import Rules, cast_files, find_undeclared
from evergreen.checks.asking import Asked, ask
from evergreen.checks.failing_rows import blame, keep_failing, summarise
from evergreen.checks.row_faults import RowFailures, find_duplicates
from evergreen.features.batch_statistics import Statistics
from evergreen.records import Reason
from evergreen.sources.tables import ParsedFile
from evergreen.storage.columns import find_column
from evergreen.storage.content import ContentHash, in_any_order, printed_hash
from evergreen.storage.pieces import ROWS
from evergreen.storage.set_aside import SetAside


@dataclass(frozen=True)
class CleanRows:
    """The clean rows of a batch, in pieces: few are one piece, sorted by key; many come as they arrived.

    :param arrived: all rows that could be told apart, in declared types.
    :param failed: (n,) places of those that are not clean, sorted.
    :param key: by what few are sorted.
    """

    arrived: SetAside
    failed: np.ndarray
    key: tuple[str, ...]

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return self.arrived.num_rows - len(self.failed)

    def __iter__(self) -> Iterator[pa.Table]:
        """Pieces of (rows, declared columns)."""
        if self.num_rows <= ROWS:
            yield self.read()
            return
        for piece, _ in self.arrived.without(self.failed):
            yield piece

    def read(self) -> pa.Table:
        """All of them at once, sorted by key."""
        rows = pa.concat_tables(piece for piece, _ in self.arrived.without(self.failed))
        return rows.sort_by([(name, "ascending") for name in self.key]).combine_chunks() if rows.num_rows else rows


@dataclass(frozen=True)
class ValidatedBatch:
    """A batch taken apart.

    :param clean: no rows if the batch is rejected.
    :param quarantine: (quarantined rows, QUARANTINE columns).
    :param rejected: whether the batch failed as a whole.
    :param reasons: why rows or the batch failed, by expectation.
    :param left_out: columns of the files that the contract does not declare.
    :param content: hash of the clean rows; empty if the batch is rejected.
    :param statistics: of the clean rows; None where they have not been counted.
    """

    clean: CleanRows
    quarantine: SetAside
    rejected: bool
    reasons: tuple[Reason, ...]
    left_out: tuple[str, ...]
    content: str = ""
    statistics: Statistics | None = None

    @property
    def rows_in(self) -> int:
        """Rows that arrived."""
        return self.clean.num_rows + self.quarantine.num_rows

    def is_content(self, recorded: str) -> bool:
        """Whether a recorded hash is that of the clean rows, in the form that it was recorded in."""
        return (self.content if in_any_order(recorded) else printed_hash(self.clean.read())) == recorded


def validate_files(files: list[ParsedFile], rules: Rules) -> ValidatedBatch:
    """Cast, drop duplicates, ask the expectations; tell clean rows from the others.

    :param files: the batch's files in the order of its record.
    :returns: the batch taken apart; rows in equal clean and quarantined rows.
    :raises FileUnreadable: if a file turns out not to be what it says as its rows are read.
    """
    left_out = tuple(sorted({name for f in files for name in find_undeclared(f, rules)}))
    total = sum(f.num_rows + len(f.torn) for f in files)
    arrived = cast_files(files, rules)
    refused = list(arrived.refused.values())
    if total == 0 and not refused and not rules.may_be_empty:
        names = ", ".join(f.name for f in files) or "no file"
        refused = [Reason(expectation="rows arrived", found=f"no rows in {names}", rows=0, file=names)]
    if refused:
        return reject(files, refused, left_out)
    rows, failed = arrived.rows, arrived.failed
    find_duplicates(rows, arrived.keys, list(rules.key), failed)
    standing = failed.places
    asked = ask(rows, standing, rules.columns, rules.expected, rules.path)
    whole, noted = _sort_failures(asked, failed)
    reasons = [*summarise(failed.failures, files), *noted, *_note_defaults(files, rules)]
    broken = len(failed.failures) + sum(len(f.torn) for f in files)
    if broken > rules.max_quarantined * total:
        found = f"{broken} of {total} rows failed, more than {rules.max_quarantined:.0%}"
        found += blame(reasons, {failure.expectation for failure in asked.failures}, rules.path.name)
        whole.append(Reason(expectation="max_quarantined", found=found, rows=broken))
    if whole:
        return reject(files, [*whole, *reasons], left_out, failed)
    clean = CleanRows(rows, failed.places, rules.key)
    content, counted = asked.content, asked.statistics
    if len(clean.failed) > len(standing):
        content, counted = _hash(clean), None
    quarantine = keep_failing(files, failed.failures, ())
    validated = ValidatedBatch(clean, quarantine, False, tuple(reasons), left_out, content, counted)
    if validated.rows_in != total:
        raise AssertionError(f"{total} rows arrived, {clean.num_rows} clean and {quarantine.num_rows} quarantined")
    return validated


def reject(
    files: list[ParsedFile], whole: list[Reason], left_out: tuple[str, ...] = (), failed: RowFailures | None = None
) -> ValidatedBatch:
    """Send all rows of a batch to quarantine, with what was wrong with the batch as a whole."""
    quarantine = keep_failing(files, (failed or RowFailures()).failures, tuple(whole))
    none = CleanRows(SetAside(pa.schema([])), np.array([], dtype=np.int64), ())
    return ValidatedBatch(none, quarantine, True, tuple(whole), left_out)


def _hash(clean: CleanRows) -> str:
    content = ContentHash()
    for piece, _ in clean.arrived.without(clean.failed):
        content.update(piece)
    return content.hexdigest()


def _note_defaults(files: list[ParsedFile], rules: Rules) -> list[Reason]:
    """Columns that a file does not have and that their default fills: told, and no fault."""
    return [
        Reason(
            expectation="default", column=name, found=f"no such column, filled with {declared.default!r}",
            rows=file.num_rows, file=file.name,
        )
        for file in files
        for name, declared in rules.columns.items()
        if declared.has_default and find_column(name, declared, file.column_names) is None
    ]  # fmt: skip


def _sort_failures(asked: Asked, failed: RowFailures) -> tuple[list[Reason], list[Reason]]:
    """What fails the batch as a whole, and what is only noted; failing rows are noted as such."""
    whole: list[Reason] = []
    noted: list[Reason] = []
    for failure in asked.failures:
        if failure.severity == "warning" and len(failure.rows):
            failed.add(failure.rows, failure.expectation, failure.column, failure.found)
            continue
        reason = Reason(
            expectation=failure.expectation, column=failure.column, found=failure.found, rows=len(failure.rows)
        )
        (whole if failure.severity == "critical" else noted).append(reason)
    return whole, noted
