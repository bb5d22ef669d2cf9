"""A sample of the rows to learn from: drawn by key, alike each time, and what is learnt from is reproduced."""

import numpy as np
import pyarrow as pa
import pytest

from evergreen.features import labelled as labelled_module
from evergreen.features.labelled import gather_rows, match_labels
from evergreen.features.sampling import Sample
from evergreen.records import AttemptRecord
from evergreen.steps.reproduce_model import reproduce_model
from tests.unit.small_loop import SmallLoop, day, doubled

KEYS = {
    "numbers": pa.table({"id": np.arange(20_000)}),
    "texts": pa.table({"id": [f"trip {n}" for n in range(20_000)]}),
    "two columns": pa.table({"zone": [f"z{n % 7}" for n in range(20_000)], "id": np.arange(20_000)}),
}


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_rows_are_drawn_uniformly_by_seed_and_key_alone(keys):
    drawn = Sample(1, 7).draw(keys, 0.25)
    # Of five parts of the keys each gives its share, within five standard deviations.
    counts = np.histogram(drawn, bins=5, range=(0, 20_000))[0]
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(750)
    other = Sample(1, 8).draw(keys, 0.25)
    assert abs(len(np.intersect1d(drawn, other)) - 1250) < 5 * np.sqrt(1172)
    # A larger share holds the smaller one; order and names of rows and columns do not matter.
    assert np.isin(drawn, Sample(1, 7).draw(keys, 0.5)).all()
    renamed = keys.rename_columns([f"{name}_renamed" for name in keys.column_names])
    assert (Sample(1, 7).draw(renamed, 0.25) == drawn).all()
    assert (Sample(1, 7).draw(keys.take(drawn), 0.25) == np.arange(len(drawn))).all()


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """Six days of forty rows."""
    loop = SmallLoop.under(tmp_path_factory.mktemp("sampling"))
    loop.take(doubled, 1, 2, 3, 4, 5, 6)
    return loop


def test_a_sample_is_what_all_rows_are_of_the_keys_drawn(loop):
    schema = loop.model.config.data_schema
    every = match_labels(schema, loop.stores, day(2), day(6))
    some = match_labels(schema, loop.stores, day(2), day(6), sample=Sample(100, 7))
    assert len(every.rows) == 200
    assert 65 < len(some.rows) < 135
    of_them = every.rows[every.rows["id"].isin(some.rows["id"])].reset_index(drop=True)
    assert some.rows.equals(of_them)
    drawn = Sample(100, 7).draw(pa.table({"id": every.rows["id"]}), 0.5)
    assert some.rows["id"].tolist() == every.rows["id"].iloc[drawn].tolist()
    # What was read is on record as for all of them: the sample is drawn of it again.
    assert some.partitions == every.partitions


def test_more_than_there_are_is_all(loop):
    schema = loop.model.config.data_schema
    every = match_labels(schema, loop.stores, day(2), day(6))
    assert match_labels(schema, loop.stores, day(2), day(6), sample=Sample(200, 7)).rows.equals(every.rows)


def test_rows_that_are_read_some_batches_at_a_time_are_the_same(loop, monkeypatch):
    schema = loop.model.config.data_schema
    some = match_labels(schema, loop.stores, day(1), day(6), sample=Sample(100, 7))
    at_once = gather_rows(schema, loop.stores, some)
    monkeypatch.setattr(labelled_module, "_AT_ONCE", 80)
    assert gather_rows(schema, loop.stores, some).equals(at_once)
    assert at_once["id"].tolist() == some.rows["id"].tolist()


def test_challenger_and_version_learn_from_samples_and_are_reproduced(tmp_path):
    loop = SmallLoop.under(tmp_path, training={"min_labels": 30, "rows": 60})
    loop.run(doubled, 1, 2, 3, 4, 5)
    version = loop.promotions[-1].version
    packed = loop.stores.models.load_promoted(loop.promotions[-1])
    assert packed.spec.rows == 60
    # On the third day there was nothing new to judge.
    attempts = [loop.stores.ledger.require(AttemptRecord, f"{day(n)}.0") for n in (4, 5)]
    assert all(25 < one.training_rows < 95 for one in attempts)
    record = reproduce_model(loop.model, loop.at, version, "a test")
    assert record.equal
    # Of the eighty of two days.
    assert 40 < record.rows < 78
    # Whatever config.yaml says by then.
    assert reproduce_model(loop.using(training={"rows": 10}).model, loop.at, version, "a test").equal


def test_a_setting_that_says_nothing_makes_no_other_code(loop):
    assert loop.using(training={}).model.code_version == loop.model.code_version
    assert loop.using(training={"rows": 60}).model.code_version != loop.model.code_version
