"""The ledger: append-only records, each created only if it is absent."""

import glob
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import obstore
from cachetools import LRUCache
from obstore.exceptions import AlreadyExistsError, NotFoundError
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from evergreen.batches import Calendar
from evergreen.errors import RecordUnreadable
from evergreen.foreign_text import HALF
from evergreen.records import SCHEMA, Record
from evergreen.storage.cache import ByteCache
from evergreen.storage.objects import flush_files, open_store, put_new, reached

R = TypeVar("R", bound=Record)
# Fields that hold words for people, among which there may be values of rows.
_TEXTS = {"found", "why", "text", "done", "todo", "held"}
# Where the work that writes a record can be looked at, such as a task's log page; it goes into the record's ``meta``.
acting: ContextVar[str] = ContextVar("acting", default="")


class _Kept(NamedTuple):
    record: Record
    size: int


# Records that a process has read last, of all its ledgers: 1,600 nights of one model, or what the list reads of 1,000.
# A record takes some five times the memory of its JSON.
_KEPT: ByteCache[_Kept] = ByteCache(64 * 1024 * 1024, lambda kept: 5 * kept.size)
# Pages read with several threads, and each look into a cache that keeps what was used last changes it.
_LOCK = Lock()
# Rows of records, such as the revisions of one batch, of which a ledger knows how far they go.
_ROWS = 1024


class Ledger:
    """The records of one model.

    What a record decides never changes, so one that was read is kept, in a memory that does not grow with the batches.
    Finding the newest of a kind costs a number of look-ups that grows with the logarithm of how many there are; only
    blotting out reads all that has ever been.

    :param uri: the lake's URI or folder.
    :param env: the deployment's name.
    :param model_id: the model.
    """

    def __init__(self, uri: str, env: str, model_id: str) -> None:
        self._uri = f"{uri.rstrip('/')}/ledger"
        self._store = open_store(self._uri)
        self._root = f"{env}/{model_id}"
        self._highest: LRUCache[str, int] = LRUCache(_ROWS)

    def put(self, record: R) -> R:
        """Write a record if its address is free.

        :returns: the record that stands there: this one, or the one that was there before.
        """
        id_, n = record.address
        path = self._path(type(record), id_, n)
        if (kept := self._kept(path)) is not None:
            return kept  # type: ignore[return-value]
        by = {"by": acting.get()} if acting.get() else {}
        stamp = {"written_at": datetime.now(UTC).isoformat(), **by, **record.meta}
        stamped = record.model_copy(update={"meta": stamp})
        content = _as_json(stamped)
        try:
            with reached(f"{self._uri}/{path}"):
                put_new(self._uri, path, content)
        except AlreadyExistsError:
            standing = self.get(type(record), id_, n)
            assert standing is not None
            return standing
        self._keep(path, stamped, content)
        return stamped

    def get(self, kind: type[R], id_: str, n: int = 0) -> R | None:
        """The record at an address, or None."""
        path = self._path(kind, id_, n)
        if (kept := self._kept(path)) is not None:
            return kept  # type: ignore[return-value]
        try:
            with reached(f"{self._uri}/{path}"):
                content = bytes(obstore.get(self._store, path).bytes())
        except (FileNotFoundError, NotFoundError):
            return None
        record = self._parse(kind, path, content)
        self._keep(path, record, content)
        return record

    def require(self, kind: type[R], id_: str, n: int = 0) -> R:
        """The record at an address that another record names.

        :raises RecordUnreadable: if it is gone.
        """
        record = self.get(kind, id_, n)
        if record is None:
            problem = f"is gone, and other records name it; {_a(kind)} is expected. Restore it from a backup"
            raise RecordUnreadable(f"record {self._uri}/{self._path(kind, id_, n)} {problem} (docs/backup.md)")
        return record

    def _kept(self, path: str) -> Record | None:
        with _LOCK:
            kept = _KEPT.get((self, path))
        return kept.record if kept is not None else None

    def _keep(self, path: str, record: Record, content: bytes) -> None:
        with _LOCK:
            _KEPT.put((self, path), _Kept(record, len(content)))

    def _parse(self, kind: type[R], path: str, content: bytes) -> R:
        try:
            record = kind.model_validate_json(content)
        except ValidationError as error:
            with suppress(ValueError, AttributeError, TypeError):
                if (number := json.loads(content).get("schema_number", SCHEMA)) > SCHEMA:
                    problem = f"it has schema {number}, and this version of Evergreen reads up to {SCHEMA}; upgrade it"
                    raise RecordUnreadable(f"record {self._uri}/{path}: {problem}") from error
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            problem = f"is damaged: {where}: {first['msg']}; {_a(kind)} is expected. Restore the file from a backup"
            raise RecordUnreadable(f"record {self._uri}/{path} {problem} (docs/backup.md)") from error
        return record

    def blot_out(self, values: re.Pattern[str]) -> int:
        """Blot values out of the texts of all records, once they have to be forgotten; nothing that decides is a text.

        :returns: how many records hold other words since.
        """
        with reached(f"{self._uri}/{self._root}"):
            listed = [one["path"] for chunk in obstore.list(self._store, prefix=self._root) for one in chunk]
            changed = 0
            for path in listed:
                body = json.loads(bytes(obstore.get(self._store, path).bytes()))
                blotted = _blot(body, values)
                if blotted != body:
                    obstore.put(self._store, path, json.dumps(blotted, indent=1, ensure_ascii=False).encode())
                    flush_files(self._uri, glob.escape(path))
                    with _LOCK:
                        _KEPT.pop((self, path), None)
                    changed += 1
        return changed

    def last(self, kind: type[R], id_: str) -> R | None:
        """The record with the highest number under an id; numbers have no gaps."""
        n = self._gallop(f"{kind.kind}/{id_}", lambda i: self.get(kind, id_, i) is not None)
        return self.get(kind, id_, n) if n >= 0 else None

    def all(self, kind: type[R], id_: str) -> Iterator[R]:
        """The records under an id, by number."""
        n = 0
        while (record := self.get(kind, id_, n)) is not None:
            yield record
            n += 1

    def ids(self, kind: type[R]) -> set[str]:
        """The ids that have records of a kind, by one request: for kinds with few of them."""
        place = f"{self._root}/{kind.kind}"
        with reached(f"{self._uri}/{place}"):
            listed = obstore.list_with_delimiter(self._store, place)
        return {folder.rpartition("/")[2] for folder in listed["common_prefixes"]}

    def last_batch(self, kind: type[R], calendar: Calendar, prefix: str = "") -> str | None:
        """The newest batch that has a record of a kind; batches are taken in order, so there are no gaps."""
        key = f"{kind.kind}/{prefix}"
        n = self._gallop(key, lambda i: self.get(kind, f"{prefix}{calendar.name(i)}") is not None)
        return calendar.name(n) if n >= 0 else None

    def _gallop(self, key: str, exists: Callable[[int], bool]) -> int:
        """The highest number that exists in an unbroken row from 0, or -1."""
        with _LOCK:
            low = self._highest.get(key, -1)
        step = 1
        while exists(low + step):
            low += step
            step *= 2
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if exists(middle) else (low, middle)
        with _LOCK:
            self._highest[key] = low
        return low

    def _path(self, kind: type[Record], id_: str, n: int) -> str:
        return f"{self._root}/{kind.kind}/{id_}/{n}.json"


def _blot(value: Any, values: re.Pattern[str], is_text: bool = False) -> Any:
    """A record's body with other texts where they hold one of the values."""
    if isinstance(value, dict):
        return {name: _blot(one, values, name in _TEXTS) for name, one in value.items()}
    if isinstance(value, list):
        return [_blot(one, values, is_text) for one in value]
    return values.sub("(forgotten)", value) if is_text and isinstance(value, str) else value


def _a(kind: type[Record]) -> str:
    return f"{'an' if kind.__name__[0] in 'AI' else 'a'} {kind.__name__}"


def _as_json(record: Record) -> bytes:
    """A record as its file; half a character stands there as its escape."""
    try:
        return record.model_dump_json(indent=1).encode()
    except PydanticSerializationError:
        text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False)
        return HALF.sub(lambda found: rf"\\u{ord(found[0]):04x}", text).encode()
