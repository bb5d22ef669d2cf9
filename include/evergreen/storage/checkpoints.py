"""The checkpoints of a Delta table's log: those that newer ones replace are deleted."""

import json
import logging
import re

import obstore
from obstore.exceptions import BaseError, NotFoundError

from evergreen.storage.objects import open_store

LOG = "_delta_log"
_CHECKPOINT = re.compile(rf"{LOG}/(\d{{20}})\.checkpoint\.parquet")
_logger = logging.getLogger(__name__)


def drop_checkpoints(uri: str) -> None:
    """Delete the checkpoints before the newest two, as the commit does that made one; every commit stays.

    A checkpoint lists all files of the table, so all together grow with the square of the commits. Of the two, one is
    for whoever began to read before the newest was made. Any version is still read, from the commits since the last
    checkpoint before it, or since the first. What a killed process left goes with the next checkpoint.
    """
    store = open_store(uri)
    try:
        newest = int(json.loads(bytes(obstore.get(store, f"{LOG}/_last_checkpoint").bytes()))["version"])
        if _stands(store, f"{LOG}/{newest + 1:020}.json"):
            return
        paths = (str(one["path"]) for chunk in obstore.list(store, LOG, chunk_size=1000) for one in chunk)
        checkpoints = sorted(path for path in paths if _CHECKPOINT.fullmatch(path))
        named = f"{LOG}/{newest:020}.checkpoint.parquet"
        if older := [path for path in checkpoints if path < named][:-1]:
            obstore.delete(store, older)
    except (FileNotFoundError, NotFoundError):
        # There is none yet, or another writer was faster.
        return
    except (BaseError, OSError, ValueError, KeyError) as error:
        # The commit stands; a store that lets nobody delete only holds more.
        _logger.warning("%s: old checkpoints were not deleted: %s", uri, error)


def _stands(store: obstore.store.ObjectStore, path: str) -> bool:
    try:
        obstore.head(store, path)
    except (FileNotFoundError, NotFoundError):
        return False
    return True
