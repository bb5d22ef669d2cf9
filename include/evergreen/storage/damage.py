"""A Delta table that cannot be read: what of it is damaged, told from a store that does not answer."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import obstore
import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError, SchemaMismatchError, TableNotFoundError
from obstore.exceptions import NotFoundError

from evergreen.errors import Outage, SourceChanged
from evergreen.storage.full_disk import is_full
from evergreen.storage.objects import open_store, reached

# How the libraries tell of a store that answers with an error, and of a range beyond a file's end, which is damage.
_STORE_FAILS = re.compile(r"Generic (?!delta)\w+ error(?!: Requested range was invalid)")
_COMMIT = re.compile(r"(\d{20})\.json")
_FILE = re.compile(r"batch=\S+\.parquet")


@contextmanager
def readable(uri: str, batch: str = "") -> Iterator[None]:
    """Tell of a table's damage by its file; a store that does not answer is an outage, which is retried.

    :param uri: the table's.
    :param batch: which is read, for the message.
    :raises SourceChanged: if its log is cut, or a file of it is lost or damaged.
    """
    try:
        with reached(uri):
            yield
    except (TableNotFoundError, CommitFailedError, SchemaMismatchError):
        raise
    except (DeltaError, pa.ArrowInvalid, FileNotFoundError, NotFoundError) as error:
        message = " ".join(str(error).partition("   0: <unknown>")[0].split())
        damage = _find_cut(uri) if isinstance(error, DeltaError) else None
        if _STORE_FAILS.search(message) or (isinstance(error, DeltaError) and damage is None):
            happened = "has no room left; make some" if is_full(error) else "did not answer"
            raise Outage(f"{uri} {happened}: {message}") from error
        file = _FILE.search(message)
        damage = damage or (f"{file[0]} is lost or damaged" if file else f"a file of batch {batch} is damaged")
        raise SourceChanged(
            f"table {uri}: {damage} ({message[:160]}). Restore the table's files from a backup "
            "(docs/runbook.md#when-state-is-damaged)"
        ) from error


def _find_cut(uri: str) -> str | None:
    """The first commit of a table's log that is missing or cannot be read."""
    store, commits = open_store(uri), list[str]()
    for chunk in obstore.list(store, prefix="_delta_log"):
        commits += [found[0] for one in chunk if (found := _COMMIT.search(one["path"]))]
    for number, name in enumerate(sorted(commits)):
        if name != f"{number:020}.json":
            return f"_delta_log/{number:020}.json is gone"
        try:
            for line in bytes(obstore.get(store, f"_delta_log/{name}").bytes()).splitlines():
                json.loads(line)
        except ValueError:
            return f"_delta_log/{name} is cut or damaged"
    return None
