"""What is kept of rows that did not pass: file, row, expectation, reason, and the row as it came."""

import json
from typing import Any

import pyarrow as pa

from include.records import Reason
from include.sources.tables import ParsedFile

Failures = dict[int, list[tuple[str, str | None, str]]]
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
    kept: list[dict[str, Any]] = []
    offset = 0
    batch_reason = "; ".join(f"{r.column or r.file or 'batch'}: {r.found}" for r in whole[:5])
    for file in files:
        positions = range(file.rows.num_rows)
        chosen = [i for i in positions if whole or offset + i in failures]
        for i, content in zip(chosen, file.contents(chosen), strict=True):
            own = failures.get(offset + i, [])
            first = own[0] if own else (whole[0].expectation, whole[0].column, "")
            reason = "; ".join(f"{column or 'row'}: {found}" for _, column, found in own) or batch_reason
            kept.append(_entry(file.name, int(file.numbers[i]), first, reason, content))
        for row in file.torn:
            entry = _entry(file.name, row.number, ("whole rows", None, ""), f"row {row.problem}", json.dumps(row.text))
            kept.append(entry)
        offset += file.rows.num_rows
    return pa.Table.from_pylist(kept, schema=QUARANTINE)


def _entry(file: str, row: int, first: tuple[str, str | None, str], reason: str, content: str) -> dict[str, Any]:
    expectation, column, _ = first
    return {
        "file": file, "row": row, "expectation": expectation, "column": column, "reason": reason, "content": content,
    }  # fmt: skip
