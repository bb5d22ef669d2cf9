"""The online store: of each key of a feature view the newest value, for requests.

It is made of the lake's partitions, batch by batch, and can be made of them anew; nothing else reads it.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from evergreen.errors import ConfigInvalid, Outage

# Of one query; SQLite takes some thousands of parameters.
_KEYS = 500
# Seconds that another writer is waited for.
_WAIT = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS latest (
    view TEXT NOT NULL, key TEXT NOT NULL, stamp TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (view, key));
CREATE TABLE IF NOT EXISTS written (view TEXT PRIMARY KEY, batch TEXT NOT NULL);
"""


@dataclass(frozen=True)
class OnlineValue:
    """What a view holds for a key.

    :param key: its values, in the order of the view's key, as JSON.
    :param stamp: event time and batch, as text that sorts as they do: the higher of two values of a key holds.
    :param content: the values, in the order of the view's columns, as JSON.
    """

    key: str
    stamp: str
    content: str

    @classmethod
    def of(cls, key: Sequence[Any], moment: datetime, batch: str, values: Sequence[Any]) -> "OnlineValue":
        """A value as it is kept."""
        return cls(json.dumps(list(key)), f"{stamp_of(moment)} {batch}", json.dumps(list(values), default=_as_text))


def stamp_of(moment: datetime) -> str:
    """A moment in UTC without a zone as the beginning of a stamp."""
    return moment.isoformat(timespec="microseconds")


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return stamp_of(value)
    raise TypeError(f"{type(value).__name__} has no form in an online store")


class OnlineStore(Protocol):
    """What a deployment's online store does.

    A view is named with the deployment and its version. Each call raises ``Outage`` where the store does not answer.
    """

    def written(self, view: str) -> str | None:
        """The newest batch that has been written of a view; None for none."""

    def write(self, view: str, batch: str, values: Collection[OnlineValue], oldest: str) -> None:
        """Write a batch of values; one that is older than what the store holds for its key changes nothing.

        :param oldest: values with a lower stamp are of no use any more, and may be deleted.
        """

    def read(self, view: str, keys: Collection[str]) -> list[OnlineValue]:
        """What the store holds for keys."""

    def delete(self, view: str, keys: Collection[str]) -> None:
        """Delete what the store holds for keys, if anything."""


def open_online(url: str) -> OnlineStore:
    """The online store at a URL: ``sqlite:///FILE`` or ``redis://…``.

    :raises ConfigInvalid: if it is no such URL.
    :raises ExtraMissing: for Redis without its client.
    """
    scheme = url.partition("://")[0]
    if scheme == "sqlite" and url.startswith("sqlite:///"):
        return SQLiteStore(Path(url.removeprefix("sqlite:///")))
    if scheme in ("redis", "rediss"):
        from evergreen.storage.online_redis import RedisStore

        return RedisStore(url)
    # Not told as found: it may hold a password.
    problem = "found another URL; valid: sqlite:///FILE, or redis://HOST:PORT/NUMBER (rediss:// with TLS)"
    raise ConfigInvalid("EVERGREEN_ONLINE", [problem])


class SQLiteStore:
    """An online store in a file, for whoever serves on the machine that computes.

    :param path: the file; it is made with the first write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def written(self, view: str) -> str | None:
        """See ``OnlineStore``."""
        if not self._path.exists():
            return None
        with self._connect("ro") as connection:
            # A process that was killed as it made the file may have left it empty.
            made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'written'").fetchone()
            row = made and connection.execute("SELECT batch FROM written WHERE view = ?", (view,)).fetchone()
        return row[0] if row else None

    def write(self, view: str, batch: str, values: Collection[OnlineValue], oldest: str) -> None:
        """See ``OnlineStore``."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows = [(view, value.key, value.stamp, value.content) for value in values]
        with self._connect("rwc") as connection:
            connection.executescript(_SCHEMA)
            connection.executemany(
                "INSERT INTO latest VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "stamp = excluded.stamp, content = excluded.content WHERE excluded.stamp > stamp",
                rows,
            )
            connection.execute("DELETE FROM latest WHERE view = ? AND stamp < ?", (view, oldest))
            connection.execute(
                "INSERT INTO written VALUES (?, ?) ON CONFLICT DO UPDATE SET batch = max(batch, excluded.batch)",
                (view, batch),
            )

    def read(self, view: str, keys: Collection[str]) -> list[OnlineValue]:
        """See ``OnlineStore``."""
        asked, found = list(keys), list[OnlineValue]()
        with self._connect("ro") as connection:
            for first in range(0, len(asked), _KEYS):
                some = asked[first : first + _KEYS]
                marks = ", ".join("?" * len(some))
                query = f"SELECT key, stamp, content FROM latest WHERE view = ? AND key IN ({marks})"  # noqa: S608
                found += [OnlineValue(*row) for row in connection.execute(query, (view, *some))]
        return found

    def delete(self, view: str, keys: Collection[str]) -> None:
        """See ``OnlineStore``."""
        if not self._path.exists():
            return
        with self._connect("rwc") as connection:
            # What is deleted is overwritten, too.
            connection.execute("PRAGMA secure_delete = ON")
            connection.executescript(_SCHEMA)
            connection.executemany("DELETE FROM latest WHERE view = ? AND key = ?", [(view, key) for key in keys])

    @contextmanager
    def _connect(self, mode: str) -> Iterator[sqlite3.Connection]:
        # Who reads makes no file.
        uri = f"{self._path.absolute().as_uri()}?mode={mode}"
        try:
            with closing(sqlite3.connect(uri, timeout=_WAIT, uri=True)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            spoilt = "; delete the file, the next compute_views makes it anew" if _is_spoilt(error) else ""
            raise Outage(f"online store {self._path}: {error}{spoilt}", str(self._path)) from error


def _is_spoilt(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
