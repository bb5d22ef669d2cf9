"""Keys of rows and labels: read by themselves, followed, and numbered as they are first seen."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from evergreen.features import key_matching
from evergreen.features.key_matching import match_keys, read_arrived_keys
from evergreen.features.labelled import match_labels
from evergreen.features.reading import published, read_keys
from evergreen.records import BatchRecord
from evergreen.storage.lake import Lake
from evergreen.storage.stores import Stores
from tests.unit.small_loop import SmallLoop, day, doubled

_NONE = np.array([], dtype=np.int64)


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """Six days of forty rows."""
    loop = SmallLoop.under(tmp_path_factory.mktemp("keys"))
    loop.take(doubled, 1, 2, 3, 4, 5, 6)
    return loop


@pytest.fixture
def anew(loop, monkeypatch):
    """Stores as another process opens them, and which partitions it reads whole."""
    read = []
    whole = Lake.read

    def note(self, partition, order_by):
        read.append((partition.table, partition.batch))
        return whole(self, partition, order_by)

    monkeypatch.setattr(Lake, "read", note)
    key_matching._KEYS.clear()
    return Stores(loop.at, loop.model.id), read


def test_a_check_reads_keys_alone_but_for_the_labels_that_it_counts(loop, anew):
    stores, read = anew
    today = loop.model.config.data_schema
    schema = replace(today, labels=replace(today.labels, max_delay=3))
    every = match_labels(schema, loop.stores, day(6), day(6))
    del read[:]
    key_matching._KEYS.clear()
    found = match_labels(schema, stores, day(6), day(6))
    assert len(found.partitions) == 12
    assert read == [("labels", day(6))]
    assert found.rows.equals(every.rows)
    assert found.waiting.equals(every.waiting)


def test_keys_are_those_of_the_rows_in_their_order(loop, anew):
    stores, _ = anew
    schema = loop.model.config.data_schema
    clean = published(stores, "rows", [day(n) for n in (4, 2, 6)], day(6))
    arrived = read_arrived_keys(schema, stores, clean)
    rows = read_keys(schema, stores, clean)
    assert arrived.keys.to_pandas().equals(rows[list(schema.key)])
    assert [schema.calendar.name(n) for n in arrived.batches] == rows["batch"].tolist()
    assert arrived.counts == tuple(rows.groupby("batch", sort=False).size())


def test_where_rows_are_fewer_than_the_record_says_all_of_them_are_read_and_held_against_it(loop, anew, monkeypatch):
    stores, read = anew
    schema = loop.model.config.data_schema
    clean = published(stores, "rows", [day(2), day(3)], day(6))
    scanned = Lake.read_columns

    def lose_a_row(self, table, partitions, names):
        found = scanned(self, table, partitions, names)
        return {one: rows.slice(1) if one.batch == day(3) else rows for one, rows in found.items()}

    monkeypatch.setattr(Lake, "read_columns", lose_a_row)
    arrived = read_arrived_keys(schema, stores, clean)
    assert read == [("clean", day(3))]
    record = stores.ledger.get(BatchRecord, f"rows.{day(3)}")
    assert arrived.counts[1] == record.clean


@pytest.mark.parametrize(
    "columns",
    [
        {"id": pa.array(["b", "a", "c", "a", "d", "b"])},
        {"id": pa.array([7, 3, 9, 3, 1, 7])},
        {"zone": pa.array(["x", "x", "y", "x", "z", "x"]), "id": pa.array([2, 1, 1, 1, 1, 2])},
        {
            "at": pa.array(
                [pd.Timestamp(f"2024-01-0{n}", tz="UTC") for n in (2, 1, 3, 1, 4, 2)], pa.timestamp("us", "UTC")
            )
        },
    ],
    ids=["texts", "numbers", "two columns", "moments"],
)
def test_keys_of_each_kind_are_followed_from_rows_to_labels(columns):
    """Rows 0 to 2; then labels of rows 1, of none, and of 0."""
    keys = pa.table(columns)
    rows, labels, none = (keys.slice(0, 3), np.array([0, 0, 1])), (keys.slice(3), np.array([0, 1, 1])), keys.slice(0, 0)
    found = match_keys([rows, (none, _NONE), labels, (none, _NONE)])
    assert found.row.tolist() == [0, 1, 2, -1]
    assert found.value.tolist() == [2, 0, -1, 1]
    assert found.batch.tolist() == [0, 0, 1, -1]
    assert found.is_matched.tolist() == [True, True, False, False]
    assert len(found.keys(~found.is_matched)) == 2
    first = found.keys(found.row == 0)[0]
    values = tuple(value.as_py() for value in next(iter(zip(*(one[:1] for one in keys.columns), strict=True))))
    assert first == (
        values if len(values) > 1 else pd.Timestamp(values[0]).tz_localize(None) if "at" in columns else values[0]
    )
