"""What is kept of rows that did not pass: file, row, expectation, reason, and the row as it came."""

import bisect
import itertools
import json
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa

from evergreen.records import Reason
from evergreen.sources.tables import ParsedFile
from evergreen.storage.pieces import ROWS
from evergreen.storage.set_aside import SetAside

Failures = dict[int, list[tuple[str, str | None, str]]]
WHOLE_FILE = "whole file"
QUARANTINE = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),
        ("expectation", pa.string()),
        ("column", pa.string()),
        ("reason", pa.string()),
        ("content", pa.string()),
    ]
)


def keep_failing(files: list[ParsedFile], failures: Failures, whole: tuple[Reason, ...]) -> SetAside:
    """Failing rows as they came, or all rows where the batch failed as a whole.

    :param failures: what is wrong with a row (expectation, column, what was found), by its position
        among all that arrived.
    :param whole: what is wrong with the batch.
    :returns: (rows, QUARANTINE columns).
    """
    entries, kept = _describe_failing(files, failures, whole), SetAside(QUARANTINE)
    # What is kept of a row takes many times as much before it is a table's.
    while some := list(itertools.islice(entries, ROWS)):
        kept.append(pa.Table.from_pylist(some, schema=QUARANTINE))
    return kept


def _describe_failing(
    files: list[ParsedFile], failures: Failures, whole: tuple[Reason, ...]
) -> Iterator[dict[str, Any]]:
    start, places = 0, sorted(failures)
    batch_reason = "; ".join(f"{r.column or r.file or 'batch'}: {r.found}" for r in whole[:5])
    for file in files:
        first, end = start, start + file.num_rows
        # A file whose rows are all sound need not be read again.
        for piece in file.pieces() if whole or _between(places, first, end) else ():
            mine = range(start, start + piece.num_rows) if whole else _between(places, start, start + piece.num_rows)
            contents = file.contents(piece, start - first, [place - start for place in mine])
            for place, content in zip(mine, contents, strict=True):
                row_failures = failures.get(place, [])
                cause = row_failures[0] if row_failures else (whole[0].expectation, whole[0].column, "")
                reason = "; ".join(f"{column or 'row'}: {found}" for _, column, found in row_failures) or batch_reason
                yield _entry(file.name, int(file.numbers[place - first]), cause, reason, content)
            start += piece.num_rows
        for row in file.torn:
            yield _entry(file.name, row.number, ("whole rows", None, ""), f"row {row.problem}", json.dumps(row.text))
        start = end


def _between(places: list[int], start: int, end: int) -> list[int]:
    return places[bisect.bisect_left(places, start) : bisect.bisect_left(places, end)]


def _entry(file: str, row: int, cause: tuple[str, str | None, str], reason: str, content: str) -> dict[str, Any]:
    expectation, column, _ = cause
    return {
        "file": file, "row": row, "expectation": expectation, "column": column, "reason": reason, "content": content,
    }  # fmt: skip


def summarise(failed: Failures, files: list[ParsedFile]) -> list[Reason]:
    """Reasons by expectation and column, with the number of rows and the first example; torn rows among them.

    :param failed: what is wrong with a row, by its position among all that arrived.
    """
    seen: dict[tuple[str, str | None], tuple[int, str]] = {}
    for failures in failed.values():
        for expectation, column, found in failures:
            rows, first = seen.get((expectation, column), (0, found))
            seen[expectation, column] = (rows + 1, first)
    torn = [(f.name, row) for f in files for row in f.torn if not row.ends]
    reasons = [
        Reason(expectation=expectation, column=column, found=found, rows=rows)
        for (expectation, column), (rows, found) in sorted(seen.items(), key=lambda item: str(item[0]))
    ]
    if torn:
        name, row = torn[0]
        found = f"row {row.number} {row.problem}"
        reasons.append(Reason(expectation="whole rows", found=found, rows=len(torn), file=name))
    for file in files:
        for row in file.torn:
            if row.ends:
                found = f"row {row.number}, the last one, {row.problem}: the file may be cut"
                reasons.append(Reason(expectation=WHOLE_FILE, found=found, rows=1, file=file.name))
    return reasons


def blame(reasons: list[Reason], declared: Collection[str], path: str) -> str:
    """The declared expectation that most of the rows broke, and how to say that they are right; empty if it was none.

    :param declared: names of the expectations that somebody has declared.
    :param path: the file of the expectations.
    """
    most = max(reasons, key=lambda reason: reason.rows, default=None)
    if most is None or most.expectation not in declared:
        return ""
    text = f"{most.rows} of them {most.column or 'the row'}: {most.expectation}"
    return f"; {text}; if they are right, say so in {path}: other limits, or severity: info to note it only"
