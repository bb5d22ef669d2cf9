"""Writing to a Delta table: a partition is one commit."""

import io
import itertools
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, SchemaMismatchError, TableNotFoundError
from deltalake.transaction import AddAction

from evergreen.errors import SchemaChanged
from evergreen.storage.checkpoints import LOG, drop_checkpoints
from evergreen.storage.columns import plain
from evergreen.storage.damage import readable
from evergreen.storage.objects import delta_options, flush_files, open_store, put_new, reached

_CONFIGURATION = {
    "delta.checkpointInterval": "10",
    # A partition is found by its values; statistics of further columns would only slow each commit down.
    "delta.dataSkippingNumIndexedCols": "0",
    # Expired-log clean-up would take the commits' metadata (code, run) away, unasked.
    "delta.enableExpiredLogCleanup": "false",
}
_PARTITIONS = ["batch", "revision"]
_AFTER = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
ANOTHER_NAME = (
    "A name keeps its type: give a changed column another name, with renamed_from: its old one, in config.yaml"
)


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
            partition_by=_PARTITIONS,
            configuration=_CONFIGURATION,
            storage_options=delta_options(uri),
            commit_properties=CommitProperties(
                custom_metadata=metadata, max_commit_retries=0 if opened is None else None
            ),
            post_commithook_properties=_AFTER,
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
    _settle(uri, batch, revision)
    return True


@dataclass(frozen=True)
class WrittenFile:
    """A file that no commit has made a part of its table yet.

    :param path: below the table.
    :param size: bytes.
    :param rows: that it has.
    """

    path: str
    size: int
    rows: int


def write_file(uri: str, batch: str, revision: int, pieces: list[pa.Table]) -> WrittenFile:
    """Write rows, without batch and revision, beside those of a partition; a commit makes them a part of it.

    :raises Outage: if the store does not answer.
    """
    rows, content = pa.concat_tables(pieces), io.BytesIO()
    pq.write_table(rows, content)
    path = f"{_folder(batch, revision)}/part-{uuid.uuid4()}.parquet"
    with reached(f"{uri}/{path}"):
        put_new(uri, path, content.getvalue())
    return WrittenFile(path, content.tell(), rows.num_rows)


def commit_files(
    uri: str, batch: str, revision: int, files: Sequence[WrittenFile], schema: pa.Schema, metadata: dict[str, str]
) -> bool:
    """Make files a partition in one commit, in place of what it held; returns whether no other writer was faster.

    :param schema: of the rows, without batch and revision; the table gains what it lacks.
    :raises Outage: if the store does not answer.
    :raises SourceChanged: if the table is damaged.
    """
    keyed = _keyed(schema.empty_table(), batch, revision).schema
    with readable(uri):
        delta = _open_or_create(uri, keyed)
    if delta is None:
        return False
    values = {"batch": batch, "revision": str(revision)}
    added = [
        AddAction(one.path, one.size, values, int(time.time() * 1000), True, json.dumps({"numRecords": one.rows}))
        for one in files
    ]
    try:
        delta.create_write_transaction(
            list(added),
            "overwrite",
            pa.unify_schemas([plain(pa.schema(delta.schema().to_arrow()).empty_table()).schema, keyed]),
            _PARTITIONS,
            [(name, "=", value) for name, value in values.items()],
            # Of two that replace a partition, deltalake would keep the rows of both where it had none before.
            commit_properties=CommitProperties(custom_metadata=metadata, max_commit_retries=0),
            post_commithook_properties=_AFTER,
        )
    except CommitFailedError:
        return False
    except (DeltaError, OSError):
        with readable(uri):
            raise
    _settle(uri, batch, revision)
    return True


def _open_or_create(uri: str, schema: pa.Schema) -> DeltaTable | None:
    """A table; a new one is empty, which says nothing of any batch. None if another writer was faster to make it."""
    options = delta_options(uri)
    try:
        return DeltaTable(uri, storage_options=options)
    except TableNotFoundError:
        pass
    try:
        return DeltaTable.create(
            uri,
            schema,
            "ignore",
            partition_by=_PARTITIONS,
            configuration=_CONFIGURATION,
            storage_options=options,
            commit_properties=CommitProperties(max_commit_retries=0),
        )
    except CommitFailedError:
        return None


def holds_partition(uri: str, batch: str, revision: int) -> bool:
    """Whether a partition may have rows: without a file in its folder it has none, which costs one request to learn."""
    # A store of the table's own would make its folder, where it may never have been written.
    tables, _, table = uri.rpartition("/")
    with reached(uri):
        return any(obstore.list(open_store(tables), f"{table}/{_folder(batch, revision)}", chunk_size=1))


def _settle(uri: str, batch: str, revision: int) -> None:
    # A record will name these rows: they are on the disk before it is.
    flush_files(uri, f"{_folder(batch, revision)}/*.parquet")
    flush_files(uri, f"{LOG}/*.json", newest=2)
    drop_checkpoints(uri)


def _folder(batch: str, revision: int) -> str:
    return f"batch={quote(batch)}/revision={revision}"


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
