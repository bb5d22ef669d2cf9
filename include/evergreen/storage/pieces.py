"""A partition piece by piece: in a memory that does not grow with it, held against its record."""

import io
import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from obstore.store import ObjectStore

from evergreen.errors import SourceChanged
from evergreen.records import Partition
from evergreen.storage.columns import plain
from evergreen.storage.content import ContentHash
from evergreen.storage.damage import readable
from evergreen.storage.objects import delta_options, open_store, reached

# A divisor of the writer's row groups of 1,048,576 rows, so that none leaves a small piece. From half to twice as many,
# CPU is the same within some percent; below, the calls count.
ROWS = 65_536
# Bytes that are read at once of each column; a row group is larger in large batches, and would be held whole.
_BUFFER = 1024 * 1024


@dataclass(frozen=True)
class Shard:
    """A part of a partition that one worker reads: a row group of a file.

    :param path: the file's, below the table.
    :param group: the row group's number.
    :param first: rows of the partition before it.
    :param rows: how many it has.
    """

    path: str
    group: int
    first: int
    rows: int


@dataclass(frozen=True)
class StoredRows:
    """Where a partition's rows lie, as whoever reads a part of them has to know it, here or on another machine.

    :param uri: the table's.
    :param batch: of the partition, for messages.
    :param schema: of all columns but batch and revision.
    :param nullable: columns with a null anywhere in the partition.
    :param shards: all of it.
    """

    uri: str
    batch: str
    schema: pa.Schema
    nullable: frozenset[str]
    shards: tuple[Shard, ...]

    def read(self, shard: Shard, content: ContentHash | None) -> Iterator[pa.Table]:
        """Pieces of at most ``ROWS`` rows, without batch and revision.

        :param content: takes in what passes; None where nobody asks.
        """
        with readable(self.uri, self.batch):
            file = _open_file(self.uri, shard.path)
            for batch in file.iter_batches(ROWS, row_groups=[shard.group], use_threads=False):
                piece = self._complete(batch)
                if content is not None:
                    content.update(piece)
                yield piece

    def _complete(self, batch: pa.RecordBatch) -> pa.Table:
        """A piece with all columns of the table: those that it gained later are null."""
        held = set(batch.schema.names)
        return pa.table(
            [
                batch.column(field.name).cast(field.type) if field.name in held else pa.nulls(len(batch), field.type)
                for field in self.schema
            ],
            schema=self.schema,
        )


class PartitionPieces:
    """One partition of a table, read shard by shard.

    Nothing is taken on trust: the rows are hashed as they pass. Whether they are the record's is known after the last
    piece: whoever writes what he made of them commits only then.

    :param uri: the table's URI.
    :param partition: what its record says.
    :param left: hashes that it may have beside, since rows of it were forgotten.
    :ivar stored: where its rows lie.
    """

    def __init__(
        self, uri: str, partition: Partition, left: Callable[[Partition], Collection[str]] = lambda _: ()
    ) -> None:
        self._uri, self._partition, self._left = uri, partition, left
        # Opened here rather than when the first piece is taken: inside a writer's thread Delta's runtime panics.
        delta = DeltaTable(uri, storage_options=delta_options(uri))
        fields = [field for field in pa.schema(delta.schema().to_arrow()) if field.name not in ("batch", "revision")]
        schema = plain(pa.schema(fields).empty_table()).schema
        added = pa.table(delta.get_add_actions(flatten=True))
        of_batch = pc.equal(added.column("partition.batch"), partition.batch)
        mine = pc.and_(of_batch, pc.equal(added.column("partition.revision"), partition.revision))
        files = {path: _open_file(uri, path) for path in added.filter(mine).column("path").to_pylist()}
        nullable = frozenset(name for name in schema.names if any(_has_nulls(file, name) for file in files.values()))
        shards, first = list[Shard](), 0
        for path, file in files.items():
            for group in range(file.num_row_groups):
                rows = int(file.metadata.row_group(group).num_rows)
                shards.append(Shard(path, group, first, rows))
                first += rows
        self.stored = StoredRows(uri, partition.batch, schema, nullable, tuple(shards))

    def __iter__(self) -> Iterator[pa.Table]:
        """Pieces of at most ``ROWS`` rows, without batch and revision.

        :raises SourceChanged: after the last one, if they were not the rows of the record.
        """
        return self.map(self.stored.read)

    def map(self, work: Callable[[Shard, ContentHash | None], Iterator[pa.Table]]) -> Iterator[pa.Table]:
        """What is made of each shard, one after the other.

        :param work: makes pieces of a shard, whose rows it adds to the hash.
        :raises SourceChanged: after the last one, if the rows were not those of the record.
        """
        # Of predictions a record has no hash.
        content = ContentHash() if self._partition.table != "predictions" else None
        for shard in self.stored.shards:
            yield from work(shard, content)
        if content is not None:
            self.require(content)

    def require(self, content: ContentHash) -> None:
        """Refuse rows that are not those of the record.

        :param content: of all shards.
        :raises SourceChanged: if they are others.
        """
        found = content.hexdigest()
        if found != self._partition.content and found not in self._left(self._partition):
            raise other_content(self._uri, self._partition, sum(shard.rows for shard in self.stored.shards))


def other_content(uri: str, partition: Partition, rows: int) -> SourceChanged:
    """What is raised where a table's rows are not the record's.

    :param rows: how many there are.
    """
    mend = "an earlier table version" if rows else "the table's files from a backup"
    return SourceChanged(
        f"{uri}: batch {partition.batch} revision {partition.revision} is not what its record says ({rows} rows, "
        f"expected content {partition.content[:12]}); restore {mend} (docs/runbook.md#when-state-is-damaged)"
    )


def scan_columns(delta: DeltaTable, partitions: Collection[Partition], names: list[str]) -> dict[Partition, pa.Table]:
    """Some columns of partitions of a table, in no order.

    :returns: by partition its rows, of those that have any.
    """
    batches = sorted({one.batch for one in partitions})
    between = f"batch >= '{batches[0]}' AND batch <= '{batches[-1]}'"
    rows = pa.RecordBatchReader.from_stream(delta.scan([*names, "batch", "revision"], between)).read_all()
    wanted = {(one.batch, one.revision): one for one in partitions}
    named = pc.dictionary_encode(plain(rows.select(["batch"])).column("batch")).combine_chunks()
    revisions = rows.column("revision").to_numpy()
    # Rows of one file follow one another.
    ends = np.flatnonzero(np.diff(named.indices.to_numpy()) | np.diff(revisions)) + 1
    columns, pieces = plain(rows.select(names)), dict[Partition, list[pa.Table]]()
    for start, end in itertools.pairwise([0, *ends.tolist(), rows.num_rows] if rows.num_rows else [0]):
        partition = wanted.get((named[start].as_py(), int(revisions[start])))
        if partition is not None:
            pieces.setdefault(partition, []).append(columns.slice(start, end - start))
    return {partition: pa.concat_tables(some) for partition, some in pieces.items()}


class StoredFile(io.RawIOBase):
    """A file of an object store as Parquet is read: range by range, each by one request."""

    def __init__(self, store: ObjectStore, path: str) -> None:
        self._store, self._path, self._at = store, path, 0
        self._size = int(obstore.head(store, path)["size"])

    def read(self, size: int = -1) -> bytes:
        """Bytes from the position on."""
        end = self._size if size < 0 else min(self._at + size, self._size)
        if end <= self._at:
            return b""
        with reached(f"file {self._path}"):
            found = bytes(obstore.get_range(self._store, self._path, start=self._at, end=end))
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read from any position."""
        return True


def _open_file(uri: str, path: str) -> pq.ParquetFile:
    return pq.ParquetFile(StoredFile(open_store(uri), path), buffer_size=_BUFFER, pre_buffer=False)


def _has_nulls(file: pq.ParquetFile, name: str) -> bool:
    """Whether a column of a file has nulls; where its statistics do not tell, it is looked through."""
    if name not in file.schema_arrow.names:
        return int(file.metadata.num_rows) > 0
    column = file.schema_arrow.names.index(name)
    found = [file.metadata.row_group(i).column(column).statistics for i in range(file.num_row_groups)]
    if all(one is not None and one.has_null_count for one in found):
        return any(one.null_count for one in found)
    return any(batch.column(0).null_count for batch in file.iter_batches(ROWS, columns=[name]))
