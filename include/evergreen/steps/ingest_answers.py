"""Take in what was answered online."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.features.answers import ANSWERS, ONCE
from evergreen.records import AnswersRecord, SourceFile
from evergreen.storage.content import content_hash
from evergreen.storage.lake import describe
from evergreen.storage.spool import Spool
from evergreen.storage.stores import Stores, stores_of

_KINDS = {
    "request_id": str, "row": int, "online_batch": str, "key": str, "values": str, "version": str, "arm": str,
    "prediction": float, "decision": int, "shadow": float, "failed": bool,
}  # fmt: skip


def ingest_answers(model: ModelFolder, at: Locations, batch: str) -> AnswersRecord:
    """Take the spooled answers into the lake as those of a batch, record them once, and empty the spool of them.

    A row of a request counts once, however often its file or its line came.

    :param batch: the batch as of which they are taken in; of one before the last nothing is taken in any more.
    :returns: the record that stands: the batch's own, or that of a later one.
    """
    stores, spool = stores_of(model, at), Spool(at, model.id)
    last = stores.ledger.last(AnswersRecord, "batches")
    if last is not None:
        # A run that was killed may have left its rows unwritten, or its files in the spool.
        _finish(stores, spool, last)
        if last.as_of >= batch:
            return last
    contents = {name: content for name in spool.sizes() if (content := spool.read(name)) is not None}
    rows, copies, torn = _parse(contents)
    record = AnswersRecord(
        as_of=batch,
        n=last.n + 1 if last is not None else 0,
        files=tuple(
            SourceFile(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest(), raw="")
            for name, content in contents.items()
        ),
        rows=rows.num_rows,
        copies=copies,
        torn=torn,
        content=content_hash(rows) if rows.num_rows else "",
    )
    standing = stores.ledger.put(record)
    _finish(stores, spool, standing)
    return standing


def _finish(stores: Stores, spool: Spool, record: AnswersRecord) -> None:
    """Write the rows of a record and delete its files; once one of them is gone, the rows stand."""
    contents = {file.name: spool.read(file.name) for file in record.files}
    whole = {name: content for name, content in contents.items() if content is not None}
    if whole and len(whole) == len(contents):
        rows, _, _ = _parse(whole)
        stores.lake.replace("answers", record.as_of, 0, rows, describe(record=record.n))
    spool.delete(whole)


def _parse(contents: Mapping[str, bytes]) -> tuple[pa.Table, int, int]:
    """The answers of some files, how many of them came before, and how many lines cannot be read."""
    lines = [line for name in sorted(contents) for line in contents[name].splitlines()]
    read = [answer for line in lines if (answer := _read(line)) is not None]
    once: dict[tuple[Any, ...], dict[str, Any]] = {}
    for answer in read:
        once.setdefault(tuple(answer[name] for name in ONCE), answer)
    rows = _as_table(list(once.values()))
    return rows, len(read) - len(once), len(lines) - len(read) + len(once) - rows.num_rows


def _as_table(answers: list[dict[str, Any]]) -> pa.Table:
    """Answers as rows; left out is one with a value that its column does not hold, such as a number beyond 2^63."""
    try:
        return pa.Table.from_pylist(answers, ANSWERS)
    except (pa.ArrowException, OverflowError, UnicodeError):
        if len(answers) == 1:
            return ANSWERS.empty_table()
        half = len(answers) // 2
        return pa.concat_tables([_as_table(answers[:half]), _as_table(answers[half:])])


def _read(line: bytes) -> dict[str, Any] | None:
    """An answer; None where the line holds none, such as one that a disk has spoilt."""
    try:
        answer = json.loads(line)
        answer["at"] = datetime.fromisoformat(answer["at"]).astimezone(UTC)
        kinds = (isinstance(answer.get(name), kind | None) for name, kind in _KINDS.items())
        return answer if all(kinds) and answer.keys() >= {*ONCE} else None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
