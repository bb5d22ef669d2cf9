"""What is kept of rows that did not pass: file, row, expectation, reason, and the row as it came."""

import itertools
import json
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa

from evergreen.records import Reason
from evergreen.sources.tables import ParsedFile

Failures = dict[int, list[tuple[str, str | None, str]]]
WHOLE_FILE = "whole file"
_AT_ONCE = 65_536
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


def keep_failing(files: list[ParsedFile], failures: Failures, whole: tuple[Reason, ...]) -> pa.Table:
    """Failing rows as they came, or all rows where the batch failed as a whole.

    :param failures: what is wrong with a row (expectation, column, what was found), by its position
        among all that arrived.
    :param whole: what is wrong with the batch.
    :returns: (rows, QUARANTINE columns).
    """
    entries = _describe_failing(files, failures, whole)
    # What is kept of a row takes many times as much before it is a table's.
    kept = [QUARANTINE.empty_table()]
    while some := list(itertools.islice(entries, _AT_ONCE)):
        kept.append(pa.Table.from_pylist(some, schema=QUARANTINE))
    return pa.concat_tables(kept)


def _describe_failing(
    files: list[ParsedFile], failures: Failures, whole: tuple[Reason, ...]
) -> Iterator[dict[str, Any]]:
    offset = 0
    batch_reason = "; ".join(f"{r.column or r.file or 'batch'}: {r.found}" for r in whole[:5])
    for file in files:
        positions = range(file.rows.num_rows)
        chosen = (i for i in positions if whole or offset + i in failures)
        while some := list(itertools.islice(chosen, _AT_ONCE)):
            for i, content in zip(some, file.contents(some), strict=True):
                row_failures = failures.get(offset + i, [])
                first = row_failures[0] if row_failures else (whole[0].expectation, whole[0].column, "")
                reason = "; ".join(f"{column or 'row'}: {found}" for _, column, found in row_failures) or batch_reason
                yield _entry(file.name, int(file.numbers[i]), first, reason, content)
        for row in file.torn:
            yield _entry(file.name, row.number, ("whole rows", None, ""), f"row {row.problem}", json.dumps(row.text))
        offset += file.rows.num_rows


def _entry(file: str, row: int, first: tuple[str, str | None, str], reason: str, content: str) -> dict[str, Any]:
    expectation, column, _ = first
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
