"""A range of batches is scored again: a revision of the predictions that is on record, beside which all else stays."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from evergreen import read_predictions
from evergreen.config.locations import Locations
from evergreen.errors import ModelNotFound, Refused
from evergreen.records import RescoreRecord
from evergreen.replay.runner import Runner
from evergreen.steps.reingest_batch import reingest_batch
from evergreen.steps.rescore_batches import describe_rescored, rescore_batches
from evergreen.steps.score_batch import score_batch
from evergreen.storage.lake import Lake
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import open_stores
from tests.dying import Killed, dying
from tests.short_loop import records, tables
from tests.unit.small_loop import ROWS, SmallLoop, day, doubled, make_rows


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """Nobody scores the first day, the baseline the second, version 2 the third and the fourth."""
    loop = SmallLoop.begun(tmp_path_factory.mktemp("lived"), 4, retrain={"any": ["never"]})
    assert [(one.version, one.effective_from) for one in loop.promotions] == [(1, day(2)), (2, day(3))]
    return loop


@pytest.fixture
def loop(lived, tmp_path):
    """A copy, to go on with."""
    return lived.copied(tmp_path)


def rescore(loop, first, last, version=None, why="ada: a late tariff", wish=""):
    return rescore_batches(loop.model, loop.at, day(first), day(last), version, why, wish)


def read(loop, number, as_of=None):
    return read_predictions("small", day(number), at=loop.at, as_of=as_of)


def test_a_version_scores_a_range_again_and_who_and_why_are_on_record(loop):
    before = records(loop.model, loop.at)
    results = rescore(loop, 1, 3, version=2)
    assert [(one.batch, one.rows) for one in results] == [(day(1), ROWS), (day(2), ROWS), (day(3), 0)]
    _, second = loop.stores.ledger.all(RescoreRecord, "batches")
    assert (second.batch, second.revision, second.version, second.promotion) == (day(2), 2, 2, 2)
    assert (second.as_of, second.why) == (day(5), "ada: a late tariff")
    assert set(read(loop, 1)["model_version"]) == set(read(loop, 2)["model_version"]) == {2}
    after = records(loop.model, loop.at)
    new = {name for name in after if name not in before}
    assert {name.partition("/")[0] for name in new} == {"rescore"}
    assert {name: after[name] for name in before} == before
    assert list(describe_rescored(results)) == [
        f"batch {day(1)}: {ROWS} rows scored again by version 2, as revision 2; by nobody before",
        f"batch {day(2)}: {ROWS} rows scored again by version 2, as revision 2; by version 1 before",
        f"batch {day(3)}: nothing has changed; version 2 scored it from the same rows",
        "claims, verdicts and what was predicted then stand; outcomes are told of what was predicted then",
    ]


def test_what_was_predicted_then_stays_readable(loop):
    then = read(loop, 2)
    rescore(loop, 2, 2, version=2)
    pd.testing.assert_frame_equal(read(loop, 2, as_of=day(4)), then)
    assert not read(loop, 2, as_of=day(5)).equals(then)
    span = read_predictions("small", day(1), day(3), at=loop.at)
    assert list(span.groupby("batch")["model_version"].unique().map(list)) == [[2], [2]]
    pd.testing.assert_series_equal(loop.predictions(2)["prediction"], then["prediction"])


def test_a_second_time_changes_nothing_and_back_again_is_a_revision_more(loop):
    rescore(loop, 2, 2, version=2)
    before = records(loop.model, loop.at) | tables(loop.model, loop.at)
    assert rescore(loop, 2, 2, version=2)[0].rows == 0
    assert records(loop.model, loop.at) | tables(loop.model, loop.at) == before
    (back,) = rescore(loop, 2, 2)
    assert (back.standing.version, back.standing.revision, back.before.version) == (1, 3, 2)
    assert set(read(loop, 2)["model_version"]) == {1}


def test_a_wish_is_granted_once_however_often_its_run_is_cleared(loop):
    rescore(loop, 2, 2, version=2, wish="run-1")
    rescore(loop, 2, 2, wish="run-2")
    assert rescore(loop, 2, 2, version=2, wish="run-1")[0].why == "this run has scored it, as revision 2"
    assert set(read(loop, 2)["model_version"]) == {1}


def test_the_champion_of_then_scores_rows_that_were_taken_in_again(loop):
    rows = make_rows(3, doubled).assign(x=0.5)
    rows.to_csv(Path(loop.at.landing) / "small" / f"rows_{day(3)}.csv", index=False)
    reingest_batch(loop.model, loop.at, day(3))
    (result,) = rescore(loop, 3, 3)
    assert (result.rows, result.standing.version) == (ROWS, 2)
    assert read(loop, 3)["prediction"].nunique() == 1
    assert read(loop, 3, as_of=day(3))["prediction"].nunique() == ROWS
    assert rescore(loop, 3, 3)[0].rows == 0


def test_decisions_of_later_on_are_those_of_a_loop_that_was_left_alone(lived, loop, tmp_path):
    alone = lived.copied(tmp_path / "alone")
    rescore(loop, 1, 4, version=1)
    for one in (loop, alone):
        one.land(5, doubled)
        Runner(one.model, one.at, sinks=()).run_batch(day(5))
    left = {name: body for name, body in records(loop.model, loop.at).items() if not name.startswith("rescore/")}
    assert left == records(alone.model, alone.at)
    # The outcomes say by whom the scores that they tell of were made.
    assert loop.verdicts[-1].outcomes.numbers["scored_by"] == {day(4): 2, day(5): 2}
    score_batch(loop.model, loop.at, day(3))
    assert set(loop.predictions(3)["prediction"]) == set(lived.predictions(3)["prediction"])


@pytest.mark.parametrize(
    ("first", "last", "version", "error", "said"),
    [
        (3, 2, None, Refused, f"small: batch {day(3)} lies after {day(2)}; name the earlier one first"),
        (
            4,
            9,
            None,
            Refused,
            f"{day(4)} to {day(9)}: not all were scored yet; batches that were: {day(1)} to {day(4)}",
        ),
        (
            1,
            1,
            None,
            Refused,
            f"small: no batch from {day(1)} to {day(1)} can be scored again: not scored: nobody was champion then",
        ),
        (2, 3, 7, ModelNotFound, "model small has no promoted version 7; promoted versions: 1, 2"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(lived, first, last, version, error, said):
    with pytest.raises(error, match=said):
        rescore(lived, first, last, version)
    with pytest.raises(Refused, match="'soon' is no batch; a day is named such as"):
        rescore_batches(lived.model, lived.at, "soon", day(3), None, "ada")


def test_a_batch_without_rows_is_passed_over_and_told(tmp_path):
    loop = SmallLoop.begun(tmp_path, 2)
    loop.land(3, doubled)
    make_rows(3, doubled).drop(columns="x").to_csv(Path(loop.at.landing) / "small" / f"rows_{day(3)}.csv", index=False)
    Runner(loop.model, loop.at, sinks=()).run_batch(day(3))
    results = rescore(loop, 2, 3, version=2)
    assert [one.rows for one in results] == [ROWS, 0]
    assert list(describe_rescored(results))[1] == f"batch {day(3)}: not scored: its rows are rejected"


def test_killed_after_any_write_the_next_call_ends_in_the_same_state(lived, tmp_path, monkeypatch):
    def run(number, dies_after=None):
        place = tmp_path / f"lake{number}"
        loop = replace(lived, at=Locations.under(place)) if place.exists() else lived.copied(place)
        written = []
        open_stores.cache_clear()
        with monkeypatch.context() as patch:
            for owner, name in ((Ledger, "put"), (Lake, "replace")):
                patch.setattr(owner, name, dying(getattr(owner, name), written, dies_after))
            rescore(loop, 1, 2, version=2)
        return records(loop.model, loop.at) | tables(loop.model, loop.at), len(written)

    expected, writes = run(0)
    assert writes == 6
    for n in range(1, writes + 1):
        with pytest.raises(Killed):
            run(n, dies_after=n)
        assert run(n)[0] == expected, f"killed after write {n}"
