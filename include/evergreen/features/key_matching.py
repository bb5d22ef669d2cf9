"""Each key followed through rows and labels, in whatever batches they came."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.config.data_schema import DataSchema
from evergreen.features.reading import is_readable, key_objects, read_table
from evergreen.records import Partition
from evergreen.storage.cache import ByteCache
from evergreen.storage.columns import arrow_type, find_column
from evergreen.storage.frames import to_frame
from evergreen.storage.revisions import record_of
from evergreen.storage.stores import Stores

_KEYS: ByteCache[pa.Table] = ByteCache(128 * 1024 * 1024, lambda keys: int(keys.nbytes))


@dataclass(frozen=True)
class ArrivedKeys:
    """The keys of rows or labels, in their partitions' order.

    :param keys: (n, key columns), of each partition sorted by key.
    :param batches: (n,) indices of the batches in which they arrived.
    :param counts: of each partition its rows.
    """

    keys: pa.Table
    batches: np.ndarray
    counts: tuple[int, ...]


def read_arrived_keys(schema: DataSchema, stores: Stores, partitions: list[Partition]) -> ArrivedKeys:
    """The keys of rows or labels of one table; no other column of theirs is read.

    Kept by partition: where labels come late, each check meets the same partitions again. Keys are as many as the
    record says, and not held against its hash, for which all columns would have to be read; who reads rows does that.

    :raises SourceChanged: if they are not as many, and the rows are not those of the record.
    """
    columns = schema.key_columns
    spec, found = repr(columns), dict[Partition, pa.Table]()
    for partition in partitions:
        kept = _KEYS.get((stores.lake.table_uri(partition.table), partition, spec))
        if kept is not None:
            found[partition] = kept
    scanned = _scan_keys(schema, stores, [one for one in partitions if one not in found])
    for partition in partitions:
        if partition not in found:
            keys = scanned.get(partition)
            found[partition] = keys if keys is not None else read_table(schema, stores, partition, columns)
            _KEYS.put((stores.lake.table_uri(partition.table), partition, spec), found[partition])
    none = pa.table({name: pa.array([], arrow_type(column)) for name, column in columns.items()})
    counts = tuple(found[one].num_rows for one in partitions)
    indices = np.array([schema.calendar.index(one.batch) for one in partitions], dtype=np.int64)
    return ArrivedKeys(pa.concat_tables([none, *(found[one] for one in partitions)]), indices.repeat(counts), counts)


def _scan_keys(schema: DataSchema, stores: Stores, partitions: list[Partition]) -> dict[Partition, pa.Table]:
    """By partition its keys in their order, of those whose record tells how its rows are to be read, and how many."""
    columns, records = schema.key_columns, {one: record_of(stores.ledger, one) for one in partitions}
    under, found = dict[tuple[str, ...], list[Partition]](), dict[Partition, pa.Table]()
    for partition, record in records.items():
        held = record.columns if record is not None else {}
        names = tuple(name for key, column in columns.items() if (name := find_column(key, column, held)))
        if len(names) == len(columns) and is_readable(record, columns):
            under.setdefault(names, []).append(partition)
    for names, some in under.items():
        for partition, rows in stores.lake.read_columns(some[0].table, some, list(names)).items():
            record = records[partition]
            if record is not None and rows.num_rows == record.clean:
                found[partition] = _in_order(rows.rename_columns(list(columns)))
    return found


def _in_order(keys: pa.Table) -> pa.Table:
    """Keys sorted; as a rule they are."""
    first = keys.column(0).combine_chunks()
    if keys.num_columns == 1 and pc.all(pc.less_equal(first[:-1], first[1:])).as_py() is not False:
        return keys
    return keys.sort_by([(name, "ascending") for name in keys.column_names])


@dataclass(frozen=True)
class KeyMatches:
    """Every key that was seen, and where: each (keys,).

    :param seen: (arrivals, key columns) all that arrived, and in ``first`` the position there of each key.
    :param row: position of its first row, -1 for none.
    :param value: position of its newest label.
    :param batch: batch of that row; of ``arrived`` the first batch in which it came, in whatever revision.
    :param label: batch of its first label.
    """

    seen: pa.Table
    first: np.ndarray
    row: np.ndarray
    value: np.ndarray
    batch: np.ndarray
    arrived: np.ndarray
    label: np.ndarray

    @property
    def is_matched(self) -> np.ndarray:
        """Which keys have both a row and a label."""
        matched: np.ndarray = (self.row >= 0) & (self.value >= 0)
        return matched

    def keys(self, which: np.ndarray) -> np.ndarray:
        """Some of the keys themselves, each as one object.

        :param which: (keys,) whether it is wanted.
        """
        return key_objects(to_frame(self.seen.take(self.first[which])), self.seen.column_names)


def match_keys(arrivals: Sequence[tuple[pa.Table, np.ndarray]]) -> KeyMatches:
    """Follow each key through rows, superseded rows, labels and superseded labels.

    :param arrivals: of each the (n, key columns) and the (n,) batches in which they arrived, ascending.
    """
    seen = pa.concat_tables([keys for keys, _ in arrivals])
    codes, count = _number(seen)
    rows, old_rows, labels, old_labels = np.split(codes, np.cumsum([len(keys) for keys, _ in arrivals])[:-1])
    (_, row_batches), (_, old_row_batches), (_, label_batches), (_, old_label_batches) = arrivals
    nowhere = np.iinfo(np.int64).max

    def first(codes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        earliest = np.full(count, nowhere)
        np.minimum.at(earliest, codes, numbers)
        return earliest

    row, value = first(rows, np.arange(len(rows))), np.full(count, -1)
    np.maximum.at(value, labels, np.arange(len(labels)))
    row = np.where(row == nowhere, -1, row)
    return KeyMatches(
        seen=seen,
        first=first(codes, np.arange(len(codes))),
        row=row,
        value=value,
        batch=np.append(row_batches, -1)[row],
        arrived=np.minimum(first(rows, row_batches), first(old_rows, old_row_batches)),
        label=np.minimum(first(labels, label_batches), first(old_labels, old_label_batches)),
    )


def _number(keys: pa.Table) -> tuple[np.ndarray, int]:
    """A number of each key, by when it is first seen, and how many there are; texts do not become objects for it."""
    codes = np.zeros(len(keys), dtype=np.int64)
    for i, column in enumerate(keys.columns):
        if pa.types.is_string(column.type):
            parts = [chunk.indices.to_numpy() for chunk in pc.dictionary_encode(column).chunks]
            mine = np.concatenate([codes[:0], *parts])
        else:
            mine = pd.factorize(column.to_numpy())[0]
        codes = pd.factorize(codes * (mine.max(initial=0) + 1) + mine)[0] if i else mine
    return codes, int(codes.max(initial=-1)) + 1
