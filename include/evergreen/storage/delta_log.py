"""The log of a Delta table: a partition is one commit, and checkpoints that newer ones replace are deleted."""

import itertools
import json
import logging
import re
from collections.abc import Iterator
from urllib.parse import quote

import obstore
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, SchemaMismatchError
from obstore.exceptions import BaseError, NotFoundError

from evergreen.errors import SchemaChanged
from evergreen.storage.damage import readable
from evergreen.storage.objects import delta_options, flush_files, open_store, reached

_logger = logging.getLogger(__name__)
_CONFIGURATION = {
    "delta.checkpointInterval": "10",
    # A partition is found by its values; statistics of further columns would only slow each commit down.
    "delta.dataSkippingNumIndexedCols": "0",
    # Expired-log clean-up would take the commits' metadata (code, run) away, unasked.
    "delta.enableExpiredLogCleanup": "false",
}
ANOTHER_NAME = (
    "A name keeps its type: give a changed column another name, with renamed_from: its old one, in config.yaml"
)
_LOG = "_delta_log"
_CHECKPOINT = re.compile(rf"{_LOG}/(\d{{20}})\.checkpoint\.parquet")


def where(batch: str, revision: int) -> str:
    """The predicate that tells the rows of a partition."""
    return f"batch = '{batch}' AND revision = {revision}"


def commit_partition(
    uri: str,
    batch: str,
    revision: int,
    pieces: Iterator[pa.Table],
    metadata: dict[str, str],
    opened: DeltaTable | None = None,
) -> bool:
    """Write a partition in one commit; returns whether no other writer was faster.

    :param pieces: its rows, without batch and revision, at least one piece; what making them raises is raised.
    :param opened: the table as it is now, which has the rows afterwards; None where there was none: of two that make
        it, deltalake would keep the rows of both, for the second tries again without a look at the first one's.
    :raises Outage: if the store does not answer.
    :raises SourceChanged: if the table is damaged.
    :raises SchemaChanged: if the rows do not fit the table.
    """
    keyed = (_keyed(piece, batch, revision) for piece in pieces)
    first = next(keyed)
    raised: list[Exception] = []
    try:
        write_deltalake(
            uri if opened is None else opened,
            _reader(first.schema, itertools.chain((first,), keyed), raised),
            mode="overwrite",
            # A contract that gains a column adds it; partitions before have nulls there.
            schema_mode="merge",
            predicate=where(batch, revision),
            partition_by=["batch", "revision"],
            configuration=_CONFIGURATION,
            storage_options=delta_options(uri),
            commit_properties=CommitProperties(
                custom_metadata=metadata, max_commit_retries=0 if opened is None else None
            ),
            post_commithook_properties=PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False),
        )
    except CommitFailedError:
        return False
    except (DeltaError, OSError) as error:
        if raised:
            raise raised[0] from None
        if not isinstance(error, SchemaMismatchError) and "Cast error" not in str(error):
            with readable(uri):
                raise
        problem = f"its rows do not fit the table {uri}: {error}"
        raise SchemaChanged(f"batch {batch}: {problem}. {ANOTHER_NAME}") from error
    # A record will name these rows: they are on the disk before it is.
    flush_files(uri, f"{_folder(batch, revision)}/*.parquet")
    flush_files(uri, f"{_LOG}/*.json", newest=2)
    _drop_checkpoints(uri)
    return True


def holds_partition(uri: str, batch: str, revision: int) -> bool:
    """Whether a partition may have rows: without a file in its folder it has none, which costs one request to learn."""
    # A store of the table's own would make its folder, where it may never have been written.
    tables, _, table = uri.rpartition("/")
    with reached(uri):
        return any(obstore.list(open_store(tables), f"{table}/{_folder(batch, revision)}", chunk_size=1))


def _folder(batch: str, revision: int) -> str:
    return f"batch={quote(batch)}/revision={revision}"


def _drop_checkpoints(uri: str) -> None:
    """Delete the checkpoints before the newest two, as the commit does that made one; every commit stays.

    A checkpoint lists all files of the table, so all together grow with the square of the commits. Of the two, one is
    for whoever began to read before the newest was made. Any version is still read, from the commits since the last
    checkpoint before it, or since the first. What a killed process left goes with the next checkpoint.
    """
    store = open_store(uri)
    try:
        newest = int(json.loads(bytes(obstore.get(store, f"{_LOG}/_last_checkpoint").bytes()))["version"])
        if _stands(store, f"{_LOG}/{newest + 1:020}.json"):
            return
        paths = (str(one["path"]) for chunk in obstore.list(store, _LOG, chunk_size=1000) for one in chunk)
        checkpoints = sorted(path for path in paths if _CHECKPOINT.fullmatch(path))
        named = f"{_LOG}/{newest:020}.checkpoint.parquet"
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


def _keyed(rows: pa.Table, batch: str, revision: int) -> pa.Table:
    numbered = rows.add_column(0, "revision", pa.repeat(pa.scalar(revision, pa.int32()), rows.num_rows))
    return numbered.add_column(0, "batch", pa.repeat(batch, rows.num_rows))


def _reader(schema: pa.Schema, pieces: Iterator[pa.Table], raised: list[Exception]) -> pa.RecordBatchReader:
    """What the writer reads; what making the pieces raises is kept: the writer tells of it in words of its own."""

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for piece in pieces:
                yield from piece.to_batches()
        except Exception as error:
            raised.append(error)
            raise

    return pa.RecordBatchReader.from_batches(schema, batches())
