"""What has reached its age is removed as a night ends, by batch time; what is needed is kept, and who asks is told."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from evergreen import read_predictions
from evergreen.config.retention_config import RetentionConfig
from evergreen.errors import Refused, RowsRemoved
from evergreen.records import DataRecord, RetentionRecord
from evergreen.replay.trace import trace_prediction
from evergreen.steps.apply_retention import apply_retention
from evergreen.steps.reproduce_model import reproduce_model
from evergreen.steps.score_batch import score_batch
from evergreen.storage.remover import Remover
from tests.dying import Killed, dying
from tests.short_loop import records, tables
from tests.unit.small_loop import SmallLoop, day, doubled, turned

AGES = {"raw": "1 day", "quarantine": "2d", "clean": "3 days", "labels": "3 days", "predictions": "3 days"}


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A law that turns on the fourth day, so that a version of later days serves in the end."""
    loop = SmallLoop.under(tmp_path_factory.mktemp("lived"), training={"window": 2, "min_labels": 30}, retention=AGES)
    loop.run(doubled, 1, 2, 3)
    loop.run(turned, 4, 5, 6, 7)
    return loop


@pytest.fixture
def loop(lived, tmp_path):
    return lived.copied(tmp_path / "copy")


def batches(loop, table):
    """The batches that a table holds, and those of which any file lies in its folder: the same."""
    found = {batch for batch, _ in Remover(loop.at, "small").partitions(table)}
    files = Path(loop.stores.lake.table_uri(table)).glob("batch=*/revision=*/*.parquet")
    assert {file.parent.parent.name.removeprefix("batch=") for file in files} == found
    return sorted(found)


def test_what_is_old_is_gone_as_bytes_and_what_is_needed_stays(lived):
    champion = lived.promotions[-1]
    learnt = {one.batch for one in lived.stores.ledger.require(DataRecord, champion.data).partitions}
    assert Remover(lived.at, "small").raw_batches() == {day(7)}
    assert batches(lived, "predictions")[0] == min(day(5), champion.trained_on[1])
    oldest = min(day(5), *learnt)
    assert day(1) < oldest
    assert batches(lived, "clean")[0] == batches(lived, "labels")[0] == oldest
    # Decided by the champion's rows as well as by age: nothing that it was fitted on is missing.
    assert learnt <= set(batches(lived, "clean"))


def test_a_champion_that_stays_keeps_what_it_learnt_from(tmp_path):
    loop = SmallLoop.under(
        tmp_path, training={"window": 2, "min_labels": 30}, retention=AGES, retrain={"any": ["never"]}
    )
    loop.run(doubled, 1, 2, 3, 4, 5)
    assert {one.batch for one in loop.stores.ledger.require(DataRecord, loop.promotions[-1].data).partitions} == {
        day(1), day(2),
    }  # fmt: skip
    assert batches(loop, "clean")[0] == day(1)
    assert Remover(loop.at, "small").raw_batches() == {day(5)}
    assert reproduce_model(loop.model, loop.at, 2, "ada: an audit").equal


def test_who_asks_for_it_is_told(loop):
    with pytest.raises(RowsRemoved, match=rf"predictions of batch {day(2)} are gone: .* removed by retention"):
        trace_prediction(loop.model, loop.at, day(2), ("2001",))
    with pytest.raises(RowsRemoved, match=rf"predictions of batch {day(2)} are gone: .* removed by retention"):
        read_predictions("small", day(2), at=loop.at)
    with pytest.raises(RowsRemoved, match=r"version 1 cannot be fitted once more: clean of 1 batches.* by retention"):
        reproduce_model(loop.model, loop.at, 1, "ada: an audit")
    assert "raw of batch" in "".join(trace_prediction(loop.model, loop.at, day(6), ("6001",))["file"])


def test_a_trace_of_what_is_not_found_says_that_quarantine_is_gone(loop):
    apply_retention(loop.using(retention={"quarantine": "1 day"}).model, loop.at, day(7))
    with pytest.raises(Refused, match=r"no row of it has that key; quarantine_rows of 1 batches, .* by retention"):
        trace_prediction(loop.model, loop.at, day(6), ("nobody",))


def test_a_backfill_brings_nothing_back_and_moves_no_bound(loop):
    stand = records(loop.model, loop.at) | tables(loop.model, loop.at)
    assert "removed by retention" in score_batch(loop.model, loop.at, day(2)).removed
    apply_retention(loop.model, loop.at, day(3))
    assert records(loop.model, loop.at) | tables(loop.model, loop.at) == stand


def test_killed_between_record_and_removal_it_goes_on(loop, monkeypatch):
    loop.take(turned, 8)
    drop = Remover.drop
    monkeypatch.setattr(Remover, "drop", dying(drop, [], 1))
    with pytest.raises(Killed):
        apply_retention(loop.model, loop.at, day(8))
    monkeypatch.setattr(Remover, "drop", drop)
    assert apply_retention(loop.model, loop.at, day(8))["raw"] == day(8)
    assert Remover(loop.at, "small").raw_batches() == {day(8)}
    bounds = [one.before for one in loop.stores.ledger.all(RetentionRecord, "raw")]
    assert bounds == sorted(set(bounds))


def test_an_age_beyond_all_dates_removes_nothing(loop):
    stand = records(loop.model, loop.at) | tables(loop.model, loop.at)
    ages = loop.using(retention={"raw": "99999 years", "quarantine": "1500 years"})
    assert apply_retention(ages.model, ages.at, day(7))["raw"] == day(7)
    assert records(loop.model, loop.at) | tables(loop.model, loop.at) == stand


def test_ages_are_read_as_people_write_them():
    ages = RetentionConfig.model_validate({"raw": "400 days", "clean": "18 months", "labels": "2 weeks"}).ages
    assert ages == {"raw": timedelta(400), "clean": timedelta(558), "labels": timedelta(14)}
    assert RetentionConfig.model_validate({"predictions": "3 years"}).predictions == timedelta(1098)


@pytest.mark.parametrize(
    ("retention", "said"),
    [
        ({"raw": "soon"}, "valid: an age such as 90 days"),
        ({"raw": "0 days"}, "valid: an age such as 90 days"),
        ({"clean": "2 days"}, r"retention.clean: found 2 days; valid: at least 7 days, for window, lookback and label"),
        ({"predictions": "2 days"}, r"retention.predictions: found 2 days; valid: at least 7 days"),
    ],
)
def test_an_age_that_is_none_or_too_short_is_refused(retention, said, lived):
    with pytest.raises(ValidationError, match=said):
        lived.using(retention=retention, training={"window": 4, "min_labels": 30}, features={"lookback": 2})


def test_all_of_the_past_cannot_be_learnt_from_and_removed(lived):
    with pytest.raises(ValidationError, match=r"retention.labels: found 9 days; valid: none, for all of the past is"):
        lived.using(retention={"labels": "9 days"}, training={"window": "auto"})
