"""Statistics lie beside the rows that they are of, and are those of the rows wherever they do not."""

import numpy as np
import pytest

from evergreen.checks import kept_statistics
from evergreen.checks.kept_statistics import read_statistics
from evergreen.features import reading
from evergreen.features.reading import published
from evergreen.records import Partition
from evergreen.steps.reingest_batch import reingest_batch
from evergreen.storage import pieces
from evergreen.storage.lake import Lake
from evergreen.storage.objects import open_store
from tests.unit.small_loop import ROWS, SmallLoop, day, doubled, make_rows


@pytest.fixture
def loop(tmp_path, monkeypatch):
    """A batch of forty rows, which are many."""
    for module in (reading, pieces, kept_statistics):
        monkeypatch.setattr(module, "ROWS", ROWS // 4)
    kept_statistics._MADE.clear()
    loop = SmallLoop.under(tmp_path)
    loop.take(doubled, 1)
    return loop


def read(loop, feed="rows", as_of=None):
    """The statistics of the batch, each column's as values."""
    kept_statistics._MADE.clear()
    schema = loop.model.config.data_schema
    (partition,) = published(loop.stores, feed, [day(1)], as_of)
    columns = schema.columns if feed == "rows" else schema.label_columns
    counted = read_statistics(schema, loop.stores, partition, columns)
    said = {
        name: {field: np.asarray(value).tolist() for field, value in vars(column).items()}
        for name, column in counted.columns.items()
    }
    return counted.rows, said, counted.sample.rows.sort_by("id")


def kept_in(loop):
    """Which are kept, by table, batch and revision."""
    store = open_store(f"{loop.at.lake}/statistics")
    paths = sorted(one["path"] for chunk in store.list() for one in chunk)
    return [".".join(path.split("/", 2)[2].split(".")[:2]) for path in paths]


@pytest.mark.parametrize("feed", ["rows", "labels"])
def test_they_are_kept_with_the_rows_and_equal_those_of_the_rows(loop, feed, monkeypatch):
    assert kept_in(loop) == ["clean/2024-01-01.0", "labels/2024-01-01.0"]
    with monkeypatch.context() as patch:
        patch.setattr(Lake, "stream", None)
        kept = read(loop, feed)
    # As of a batch that was taken in before there were statistics.
    monkeypatch.setattr(Lake, "get_statistics", lambda lake, partition: None)
    made = read(loop, feed)
    assert kept == made
    assert kept[0] == ROWS


def test_a_batch_that_was_taken_in_again_has_its_own_and_what_was_known_before_stays(loop):
    before = read(loop)
    rows = make_rows(1, doubled)
    rows.assign(x=rows["x"] + 5).to_csv(f"{loop.at.landing}/small/rows_{day(1)}.csv", index=False)
    result = reingest_batch(loop.model, loop.at, day(1))
    assert result.after.revision == 1
    assert [name for name in kept_in(loop) if "clean" in name] == ["clean/2024-01-01.0", "clean/2024-01-01.1"]
    after = read(loop)
    assert (before[1]["x"]["ends"], after[1]["x"]["ends"]) == ([0, 1], [5, 6])
    assert result.revision.as_of == day(2)
    assert read(loop, as_of=day(1)) == before


def test_damaged_ones_are_made_anew_and_the_log_says_so(loop, caplog):
    before = read(loop)
    (partition,) = published(loop.stores, "rows", [day(1)])
    loop.stores.lake.put_statistics(partition, b"cut")
    assert read(loop) == before
    assert "small, clean of batch 2024-01-01, revision 0: statistics cannot be read" in caplog.text


def test_other_rows_never_have_them(loop):
    (partition,) = published(loop.stores, "rows", [day(1)])
    other = Partition.model_validate(partition.model_dump() | {"content": "2:0"})
    assert loop.stores.lake.get_statistics(other) is None


def test_of_few_rows_none_are_kept(tmp_path):
    loop = SmallLoop.under(tmp_path)
    loop.take(doubled, 1)
    assert kept_in(loop) == []
    assert read(loop)[0] == ROWS
