"""The lake: Delta tables with one partition per batch and revision."""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, TableNotFoundError

from evergreen.errors import Outage, SchemaChanged, SourceChanged
from evergreen.records import VIEWS, Partition
from evergreen.storage.cache import ByteCache
from evergreen.storage.columns import plain
from evergreen.storage.content import find_content
from evergreen.storage.damage import readable
from evergreen.storage.delta_log import (
    ANOTHER_NAME,
    WrittenFile,
    commit_files,
    commit_partition,
    holds_partition,
    where,
)
from evergreen.storage.lake_files import LakeFiles
from evergreen.storage.objects import delta_options
from evergreen.storage.pieces import PartitionPieces, other_content, scan_columns

_TRIES = 8
_CACHED_BYTES = 256 * 1024 * 1024

MakePieces = Callable[[], Iterator[pa.Table]]
ContentsLeft = Callable[[Partition], Collection[str]]


class Lake(LakeFiles):
    """The tables of one model, and its files.

    A partition is one revision of one batch: it is written whole and atomically, and never replaced by other rows, so
    what a record names stays readable by any later version of the table, and by any vacuum.

    :param uri: the lake's URI or folder.
    :param env: the deployment's name.
    :param model_id: the model.
    :param left: hashes that a partition may have beside its record's, since rows of it were forgotten.
    """

    def __init__(self, uri: str, env: str, model_id: str, left: ContentsLeft = lambda _: ()) -> None:
        super().__init__(uri, env, model_id)
        self._left = left
        self._tables = f"{uri.rstrip('/')}/tables/{env}"
        self._root = f"{self._tables}/{model_id}"
        self._types: dict[str, dict[str, pa.DataType]] = {}
        self._opened: dict[str, DeltaTable] = {}
        self._cache: ByteCache[pa.Table] = ByteCache(_CACHED_BYTES, lambda rows: int(rows.nbytes))

    def table_uri(self, table: str) -> str:
        """Where a table lies, for Spark, DuckDB, Polars and others; those of feature views belong to no model."""
        return f"{self._tables if table.startswith(VIEWS) else self._root}/{table}"

    def replace(
        self, table: str, batch: str, revision: int, rows: pa.Table | MakePieces, metadata: dict[str, str]
    ) -> None:
        """Write one revision of one batch, whole and atomically.

        :param rows: what the partition holds, without its batch and revision; or what begins to make pieces of it, for
            each try anew. Pieces are written in whichever order the writer's threads take them. What they raise
            leaves the partition as it was.
        :param metadata: what differs from run to run; it goes into the commit.
        :raises Outage: if other writers kept winning.
        :raises SchemaChanged: if a column has another type than the table holds.
        """
        for _ in range(_TRIES):
            self._opened.pop(table, None)
            pieces = iter((rows,)) if isinstance(rows, pa.Table) else rows()
            first = next((piece for piece in pieces if piece.num_rows), pa.table({}))
            if first.num_rows == 0:
                # What a run that was killed wrote under other rules must not stay.
                if holds_partition(self.table_uri(table), batch, revision) and (
                    self.read_any(table, batch, revision).num_rows
                ):
                    try:
                        self._open(table).delete(where(batch, revision))
                    except CommitFailedError:
                        continue
                return
            self._require_types(table, batch, first)
            pieces = itertools.chain((first,), pieces)
            # Opened once for the commit and for what is read after it; a table that is not there cannot be.
            opened = self._open(table) if table in self._types else None
            if commit_partition(self.table_uri(table), batch, revision, pieces, metadata, opened):
                return
        raise self._lost(table, batch)

    def replace_by_files(
        self, partition: Partition, files: Sequence[WrittenFile], schema: pa.Schema, metadata: dict[str, str]
    ) -> None:
        """Make files that were written beside a partition the whole of it, in one commit.

        :param files: at least one.
        :param schema: of their rows, without batch and revision.
        :param metadata: what differs from run to run; it goes into the commit.
        :raises Outage: if other writers kept winning.
        :raises SchemaChanged: if a column has another type than the table holds.
        """
        table, batch = partition.table, partition.batch
        for _ in range(_TRIES):
            self._opened.pop(table, None)
            self._require_types(table, batch, schema.empty_table())
            if commit_files(self.table_uri(table), batch, partition.revision, files, schema, metadata):
                return
        raise self._lost(table, batch)

    def _lost(self, table: str, batch: str) -> Outage:
        return Outage(f"{self.table_uri(table)}: batch {batch} lost {_TRIES} commits to other writers; try again")

    def read(self, partition: Partition, order_by: Iterable[str]) -> pa.Table:
        """The rows of one partition, without its batch and revision, in canonical order.

        :param order_by: the key, by which rows are sorted.
        :raises SourceChanged: if the rows are not those that the record was made of.
        """
        kept = self._cache.get(partition)
        if kept is not None:
            return kept
        rows = self._read_sorted(partition, order_by)
        if partition.table == "predictions":
            if rows.num_rows:
                self._cache.put(partition, rows)
            return rows
        if find_content(rows, [partition.content]) is None:
            # Since the table was opened, a run that was begun again may have written the partition anew.
            self._opened.pop(partition.table, None)
            rows = self._read_sorted(partition, order_by)
            if find_content(rows, [partition.content, *self._left(partition)]) is None:
                raise other_content(self.table_uri(partition.table), partition, rows.num_rows)
        self._cache.put(partition, rows)
        return rows

    def stream(self, partition: Partition) -> PartitionPieces:
        """The same rows piece by piece, in any order, in a memory that does not grow with them.

        :raises SourceChanged: after the last piece, if the rows were not those that the record was made of.
        """
        with readable(self.table_uri(partition.table), partition.batch):
            return PartitionPieces(self.table_uri(partition.table), partition, self._left)

    def read_columns(
        self, table: str, partitions: Collection[Partition], names: list[str]
    ) -> dict[Partition, pa.Table]:
        """Some columns of those partitions of a table that have rows: in no order, not held against their records."""
        found = {one: rows.select(names) for one in partitions if (rows := self._cache.get(one)) is not None}
        if lacking := [one for one in partitions if one not in found]:
            with suppress(TableNotFoundError), readable(self.table_uri(table)):
                found |= scan_columns(self._open(table), lacking, names)
        return found

    def _read_sorted(self, partition: Partition, order_by: Iterable[str]) -> pa.Table:
        rows = self.read_any(partition.table, partition.batch, partition.revision)
        # A key that was renamed has two names, of which a table may have had but one yet.
        order = [(name, "ascending") for name in order_by if name in rows.column_names]
        return rows.sort_by(order).combine_chunks() if rows.num_rows else rows

    def _require_types(self, table: str, batch: str, rows: pa.Table) -> None:
        """Refuse a column whose type has changed: Delta would cast it without a word."""
        if not set(rows.column_names) <= set(self._types.get(table, ())):
            # Not seen yet, or a column has come to it since.
            try:
                with readable(self.table_uri(table)):
                    held = pa.schema(self._open(table).schema().to_arrow())
            except TableNotFoundError:
                return
            self._types[table] = {field.name: field.type for field in plain(held.empty_table()).schema}
        for field in plain(rows.slice(0, 0)).schema:
            stored = self._types[table].get(field.name, field.type)
            if stored != field.type:
                raise SchemaChanged(
                    f"{self.table_uri(table)}: batch {batch}, column {field.name} is {field.type}, stored as {stored}. "
                    f"{ANOTHER_NAME}"
                )

    def read_any(self, table: str, batch: str, revision: int, most: int | None = None) -> pa.Table:
        """The rows of one batch in any table, in no particular order; no columns where there is no such table.

        :param most: read no further once there are so many; by default all are read.
        """
        kept = table in self._opened
        try:
            try:
                with readable(self.table_uri(table), batch):
                    rows = self._scan(table, batch, revision, most)
            except SourceChanged:
                if not kept:
                    raise
                # Since it was opened, a file may have been removed with rows that were forgotten.
                rows = pa.table({})
            with readable(self.table_uri(table), batch):
                if kept and rows.num_rows == 0:
                    # Written since the table was opened.
                    self._opened.pop(table)
                    rows = self._scan(table, batch, revision, most)
        except TableNotFoundError:
            return pa.table({})
        return plain(rows.drop_columns(["batch", "revision"]))

    def _scan(self, table: str, batch: str, revision: int, most: int | None) -> pa.Table:
        pieces = pa.RecordBatchReader.from_stream(self._open(table).scan(predicate=where(batch, revision)))
        if most is None:
            return pieces.read_all()
        found: list[pa.RecordBatch] = []
        while sum(piece.num_rows for piece in found) < most and (piece := next(pieces, None)) is not None:
            found.append(piece)
        return pa.Table.from_batches(found, pieces.schema).slice(0, most)

    def _open(self, table: str) -> DeltaTable:
        """A table as it was when it was first read; opening it anew for each partition costs as much as reading."""
        if table not in self._opened:
            uri = self.table_uri(table)
            self._opened[table] = DeltaTable(uri, storage_options=delta_options(uri))
        return self._opened[table]


def describe(**facts: Any) -> dict[str, str]:
    """Commit metadata: what differs from run to run."""
    return {f"evergreen.{name}": str(fact) for name, fact in facts.items()}
