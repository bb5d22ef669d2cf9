"""Sealed rows and labels as frames: which of them may be read, and under which names."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from evergreen.config.data_schema import DataSchema
from evergreen.config.fields import ColumnType
from evergreen.errors import ModelIncompatible
from evergreen.records import BatchRecord, Feed, Partition
from evergreen.storage.columns import arrow_type, lacking, read_as
from evergreen.storage.content import in_any_order
from evergreen.storage.frames import to_frame
from evergreen.storage.pieces import ROWS
from evergreen.storage.revisions import known_revisions, record_of, sealed_batches
from evergreen.storage.stores import Stores

Columns = Mapping[str, ColumnType]
_TABLE: dict[Feed, Literal["clean", "labels"]] = {"rows": "clean", "labels": "labels"}


def published(
    stores: Stores, feed: Feed, batches: list[str], as_of: str | None = None, columns: Columns | None = None
) -> list[Partition]:
    """The partitions of those of the batches that are published and hold rows.

    :param as_of: each in the revision that was known at this batch; by default the newest.
    :param columns: leave out what cannot be read as these; by default nothing.
    """
    return [
        partition_of(record)
        for record in sealed_batches(stores.ledger, feed, batches, as_of)
        if record.has_rows and (columns is None or is_readable(record, columns))
    ]


def superseded(stores: Stores, feed: Feed, batches: list[str], as_of: str, columns: Columns) -> list[Partition]:
    """Earlier revisions of those of the batches that are read in a later one."""
    wanted, revisions = set(batches), known_revisions(stores.ledger, feed, as_of)
    records = [
        stores.ledger.get(BatchRecord, f"{feed}.{batch}", n)
        for batch, revision in revisions.items()
        if batch in wanted
        for n in range(revision)
    ]
    return [partition_of(one) for one in records if one is not None and one.has_rows and is_readable(one, columns)]


def is_readable(record: BatchRecord | None, columns: Columns) -> bool:
    """Whether rows can be read as declared columns; of a record that does not tell its own, they are taken to be."""
    return record is None or not record.columns or not lacking(columns, record.columns)


def partition_of(record: BatchRecord) -> Partition:
    """The partition that a published record stands for."""
    table = _TABLE[record.feed]
    return Partition(table=table, batch=record.batch, revision=record.revision, content=record.content)


def read_rows(schema: DataSchema, stores: Stores, partitions: list[Partition]) -> pd.DataFrame:
    """Clean rows with the batch in which they arrived, by batch and key, under a 0..n-1 index.

    :raises ModelIncompatible: if rows were sealed without a column that the schema declares.
    """
    return _read(schema, stores, partitions, schema.columns, "clean", "batch")


def is_large(record: BatchRecord | None, partition: Partition) -> bool:
    """Whether a partition is read piece by piece: not one whose hash rests on the order of its rows."""
    return record is not None and record.clean > ROWS and in_any_order(partition.content)


def read_pieces(schema: DataSchema, stores: Stores, partition: Partition, columns: Columns) -> Iterator[pa.Table]:
    """Rows or labels of one partition as declared columns.

    A large partition comes piece by piece, in no order, and in a memory that does not grow with it.

    :raises SourceChanged: after the last piece, if the rows were not those of the record.
    """
    record = record_of(stores.ledger, partition)
    whole = () if is_large(record, partition) else (stores.lake.read(partition, sort_order(schema)),)
    for piece in whole or stores.lake.stream(partition):
        yield read_as(piece, columns, record.columns if record is not None else {})


def read_keys(
    schema: DataSchema, stores: Stores, partitions: list[Partition], positions: np.ndarray | None = None
) -> pd.DataFrame:
    """Of clean rows the key, and the batch in which they arrived.

    :param positions: only these of the rows; by default all.
    """
    columns = schema.key_columns
    return _read(schema, stores, partitions, columns, "clean", "batch", positions)


def read_labels(
    schema: DataSchema,
    stores: Stores,
    partitions: list[Partition],
    positions: np.ndarray | None = None,
    counts: tuple[int, ...] = (),
) -> pd.DataFrame:
    """Labels with the batch in which they became known (``known``): key, target, known.

    :param positions: only these of the labels; by default all.
    :param counts: of each partition its labels, as its keys were counted: what none is wanted of is not read.
    """
    return _read(schema, stores, partitions, schema.label_columns, "labels", "known", positions, counts)


def key_objects(rows: pd.DataFrame, key: list[str]) -> np.ndarray:
    """The key of each row as one object: its value, or the tuple of its values."""
    keys = np.empty(len(rows), dtype=object)
    keys[:] = rows[key[0]] if len(key) == 1 else list(rows[key].itertuples(index=False, name=None))
    return keys


def sort_order(schema: DataSchema) -> list[str]:
    """By what stored rows are sorted: the key, under each name that it had; a partition holds one of them."""
    columns = schema.columns
    return [one for name in schema.key for one in (name, *columns[name].renamed_from)]


def _read(
    schema: DataSchema,
    stores: Stores,
    partitions: list[Partition],
    columns: Columns,
    table: str,
    arrival: str,
    positions: np.ndarray | None = None,
    counts: tuple[int, ...] = (),
) -> pd.DataFrame:
    """Partitions of one table as declared columns, and their batch under a name of its own.

    Joined before pandas sees them, whose cost is by frame rather than by row.
    """
    tables, arrivals, start = [], list[np.ndarray](), 0
    wanted, order = positions, None
    if positions is not None and (positions[1:] < positions[:-1]).any():
        order = np.argsort(positions, kind="stable")
        wanted = positions[order]
    for partition, count in itertools.zip_longest(partitions, counts):
        if partition.table != table:
            continue
        if wanted is not None and count is not None and not np.ptp(np.searchsorted(wanted, [start, start + count])):
            start += count
            continue
        rows = read_table(schema, stores, partition, columns)
        if wanted is not None:
            # Taken of each partition by itself: all of them may be more than memory holds.
            first, last = np.searchsorted(wanted, [start, start + rows.num_rows])
            start += rows.num_rows
            rows = rows.take(wanted[first:last] - (start - rows.num_rows)) if last > first else rows.slice(0, 0)
        tables.append(rows)
        arrivals.append(np.full(rows.num_rows, partition.batch, dtype=object))
    if not partitions:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in (*columns, arrival)})
    none = pa.table({name: pa.array([], arrow_type(column)) for name, column in columns.items()})
    whole, batches = pa.concat_tables([none, *tables]), np.concatenate([np.array([], dtype=object), *arrivals])
    if order is not None:
        back = np.argsort(order)
        whole, batches = whole.take(back), batches[back]
    return to_frame(whole).assign(**{arrival: pd.Series(batches, dtype=object)})


def read_table(schema: DataSchema, stores: Stores, partition: Partition, columns: Columns) -> pa.Table:
    """A partition as declared columns, in the order in which it is stored.

    :raises ModelIncompatible: if its rows were sealed without one of them.
    """
    record = record_of(stores.ledger, partition)
    if not is_readable(record, columns):
        assert record is not None
        raise ModelIncompatible(
            f"{record.feed} of batch {partition.batch}, revision {partition.revision}, were sealed without "
            f"{', '.join(lacking(columns, record.columns))}; they have {', '.join(record.columns)}. Rows from "
            "before a column are read where it has renamed_from or a default in config.yaml"
        )
    rows = stores.lake.read(partition, sort_order(schema))
    return read_as(rows, columns, record.columns if record else {})
