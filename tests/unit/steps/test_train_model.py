"""Which labels a challenger learns from, and which it is judged on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from evergreen.errors import NotReady
from evergreen.features.packing import packed_hashes
from evergreen.judging.attempts import TrainResult
from evergreen.judging.holdout import choose_holdout
from evergreen.records import AttemptRecord, PromotionRecord
from evergreen.steps.judge_model import judge_model
from evergreen.steps.register_model import register_model
from evergreen.steps.train_model import train_model
from evergreen.storage.lease import hold_lease
from tests.short_loop import registry
from tests.unit.small_loop import (
    CLASSES,
    LOGISTIC,
    ROWS,
    SmallLoop,
    day,
    doubled,
    make_rows,
    turned,
)


def loss_of_line(learnt, laws, holdout):
    """Mean absolute error on a day of the line through some others' rows."""
    rows = pd.concat([make_rows(number, laws(number)) for number in learnt])
    slope, start = np.polyfit(rows["x"], rows["y"], 1)
    new = make_rows(holdout, laws(holdout))
    return float((new["y"] - start - slope * new["x"]).abs().mean())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A line that turns on the sixth day, and the challenger of the twelfth."""
    loop = SmallLoop.under(tmp_path_factory.mktemp("trained"))
    loop.take(doubled, *range(1, 6))
    loop.take(turned, *range(6, 13))
    due = loop.ask(12)
    return loop, due, train_model(loop.model, loop.at, due)


def test_each_window_is_tried_on_the_holdout_and_the_better_goes_on(trained):
    loop, due, result = trained
    laws = lambda number: doubled if number < 6 else turned  # noqa: E731
    spans = {
        str(window): range(1 if window == "all" else max(1, 12 - window), 12) for window in loop.model.config.windows
    }
    # A window that reaches back to the first day is that of all.
    spans = {window: span for window, span in spans.items() if window == "all" or span[0] > 1}
    losses = {window: loss_of_line(span, laws, 12) for window, span in spans.items()}
    best = min(losses, key=losses.get)
    assert best != "all"
    assert result.trained_on == (day(spans[best][0]), day(11))
    assert (result.rows, result.why) == (ROWS * len(spans[best]), "")
    record = judge_model(loop.model, loop.at, due, result)
    assert (record.window, record.holdout, record.trained_on) == (best, (day(12),), result.trained_on)
    assert record.tried == pytest.approx(losses)
    assert record.judgement.challenger == pytest.approx(losses[best])
    assert record.meta["cpu_seconds"] > 0
    # What won is fitted anew with the newest labels, on a window as long.
    register_model(loop.model, loop.at, due)
    run, packed = (
        loop.stores.models.find_run(due.verdict, "champion"),
        packed_hashes(loop.stores, due.verdict, "champion"),
    )
    version = loop.stores.models.load_run(run, packed)
    tags = loop.stores.models.version_tags(loop.stores.models.find_version(due.verdict))
    assert tags["evergreen.trained_on"] == f"{day(spans[best][0] + 1)} to {day(12)}"
    assert version.spec.window == int(best)


def test_nothing_is_trained_twice_whatever_the_config_says_by_now(trained):
    loop, due, result = trained
    other = loop.using(training={"window": 2, "min_labels": 5})
    assert train_model(other.model, loop.at, due) == result


def late_loop(place):
    """A line that turns on the ninth day; labels come three days late."""
    told = {"files": "labels_{batch:%Y-%m-%d}.csv", "complete": {"marker": "labels_{batch:%Y-%m-%d}.done"}}
    loop = SmallLoop.under(place, labels=told | {"key": ["id"], "target": {"y": "float"}, "max_delay": 5})
    folder = place / "landing" / "small"
    folder.mkdir(parents=True)
    for number in range(1, 17):
        known = make_rows(number - 3, turning(number - 3)) if number > 3 else make_rows(1, doubled).iloc[:0]
        known[["id", "y"]].to_csv(folder / f"labels_{day(number)}.csv", index=False)
        (folder / f"labels_{day(number)}.done").touch()
        loop.take(turning(number), number)
    return loop


def turning(number):
    return doubled if number < 9 else turned


def test_where_labels_are_late_windows_are_compared_by_what_could_have_served(tmp_path):
    loop, laws = late_loop(tmp_path), turning
    due = loop.ask(16)
    result = train_model(loop.model, loop.at, due)
    # The holdout's rows arrived on the thirteenth, when nine days had their labels.
    assert result.tried == pytest.approx(
        {"all": loss_of_line(range(1, 10), laws, 13), "7": loss_of_line(range(3, 10), laws, 13)}
    )
    # What did best learns from all that is known before the holdout.
    assert (result.window, result.trained_on, result.rows) == ("7", (day(9), day(15)), 7 * ROWS)
    record = judge_model(loop.model, loop.at, due, result)
    assert record.holdout == (day(16),)
    assert record.judgement.challenger == pytest.approx(loss_of_line(range(6, 13), laws, 13))


BROKEN = "def build_features(batch, history):\n    raise ValueError('no such thing')\n"
NOTHING = {
    "no label batch before the holdout": ({}, 1, (None, 0), "no labels are known before the holdout", False),
    "one class": (
        {**CLASSES, "estimator": LOGISTIC}, 2, ((day(1), day(1)), ROWS),
        "to learn from, 0 of 40 labels are 1; 5 are needed to tell of them", False,
    ),
    "broken code": ({"features": BROKEN}, 2, ((day(1), day(1)), ROWS), "no such thing", True),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTHING)
def test_where_no_challenger_can_be_fitted_it_says_why(case, tmp_path):
    changes, last, (span, rows), why, fault = NOTHING[case]
    loop = SmallLoop.under(tmp_path, **changes)
    loop.take(doubled if "model" not in changes else lambda x, _: np.zeros(len(x), int), *range(1, last + 1))
    found = train_model(loop.model, loop.at, loop.ask(last))
    assert (found.run, found.trained_on, found.rows, found.fault) == (None, span, rows, fault)
    assert why in found.why


def test_an_attempt_that_was_judged_without_a_challenger_trains_none(tmp_path):
    loop = SmallLoop.under(tmp_path)
    loop.take(doubled, 1, 2)
    due = loop.ask(2)
    loop.stores.ledger.put(
        AttemptRecord(
            as_of=day(2), verdict=due.verdict, trained_on=(day(1), day(1)), training_rows=7, data="", code="c",
            holdout=(day(2),), against=0, judgement=None, outcome="passed", why="", baseline=True,
        )
    )  # fmt: skip
    assert train_model(loop.model, loop.at, due) == TrainResult(None, (day(1), day(1)), 7)


# Ones among the labels of six days; the champion's day; the holdout.
HOLDOUTS = [
    ([9, 9, 9, 9, 9, 9], None, [6]),
    ([9, 9, 9, 3, 1, 1], None, [4, 5, 6]),
    # Without a champion half of the labels are left to learn from.
    ([9, 9, 9, 1, 1, 1], None, [4, 5, 6]),
    # What the champion has learnt is not judged on.
    ([9, 9, 9, 9, 1, 1], 4, [5, 6]),
    ([9, 9, 9, 9, 4, 1], 4, [5, 6]),
    ([9, 9, 9, 9, 9, 9], 4, [6]),
    # Ones may be the many.
    ([9, 9, 9, 9, 38, 37], 3, [5, 6]),
]


@pytest.mark.parametrize(("ones", "champion", "holdout"), HOLDOUTS, ids=str)
def test_a_holdout_has_a_handful_of_the_rarer_class(ones, champion, holdout, tmp_path):
    loop = SmallLoop.under(tmp_path, estimator=LOGISTIC, **CLASSES)
    for number, count in enumerate(ones, 1):
        loop.take(lambda x, _, count=count: np.repeat([1, 0], [count, len(x) - count]), number)
    if champion:
        span = (day(1), day(champion))
        loop.stores.ledger.put(
            PromotionRecord(
                as_of=day(champion), number=1, version=1, attempt="a", code="c", data="d", trained_on=span,
                effective_from=day(9), error=1.0,
            )
        )  # fmt: skip
    assert choose_holdout(loop.model.config, loop.stores, day(6))[0] == [day(number) for number in holdout]


@pytest.mark.parametrize(("min_rows", "holdout"), [(40, [4]), (41, [3, 4]), (100, [2, 3, 4])])
def test_a_holdout_is_as_short_as_its_rows_allow(min_rows, holdout, tmp_path):
    loop = SmallLoop.under(tmp_path, gate={"metric": "mae", "min_rows": min_rows})
    loop.take(doubled, 1, 2, 3, 4)
    assert choose_holdout(loop.model.config, loop.stores, day(4))[0] == [day(number) for number in holdout]


@pytest.fixture
def asked(tmp_path):
    """A loop whose first check asks, with nothing trained yet."""
    loop = SmallLoop.under(tmp_path)
    loop.take(doubled, 1, 2)
    return loop, loop.ask(2)


def runs(loop):
    """Status of each run, by role."""
    client = MlflowClient(loop.at.tracking_uri, loop.at.tracking_uri)
    experiments = [one.experiment_id for one in client.search_experiments()]
    return sorted((run.data.tags["evergreen.role"], run.info.status) for run in client.search_runs(experiments))


def test_while_another_process_is_at_it_nothing_is_trained_or_registered(asked):
    loop, due = asked
    with hold_lease(loop.at, loop.model.id, due.verdict), pytest.raises(NotReady, match="is being worked on"):
        train_model(loop.model, loop.at, due)
    assert runs(loop) == []
    judge_model(loop.model, loop.at, due, train_model(loop.model, loop.at, due))
    with hold_lease(loop.at, loop.model.id, due.verdict), pytest.raises(NotReady, match="is being worked on"):
        register_model(loop.model, loop.at, due)
    assert loop.stores.models.find_version(due.verdict) is None
    assert register_model(loop.model, loop.at, due).version == 1
    assert runs(loop) == [("challenger", "FINISHED"), ("champion", "FINISHED")]


def test_looking_for_a_run_ends_none_and_training_marks_what_the_dead_left(asked):
    loop, due = asked
    client = MlflowClient(loop.at.tracking_uri, loop.at.tracking_uri)
    tags = {"evergreen.attempt": due.verdict, "evergreen.role": "challenger"}
    client.create_run(loop.stores.models._experiment, tags=tags)
    assert loop.stores.models.find_run(due.verdict, "challenger") is None
    assert runs(loop) == [("challenger", "RUNNING")]
    trained = train_model(loop.model, loop.at, due)
    assert runs(loop) == [("challenger", "FINISHED"), ("challenger", "KILLED")]
    # Its process was not dead after all: what was finished first, and may have been judged, stays the attempt's run.
    killed = next(run for run in client.search_runs([loop.stores.models._experiment]) if run.info.status == "KILLED")
    client.set_terminated(killed.info.run_id, "FINISHED")
    assert loop.stores.models.find_run(due.verdict, "challenger") == trained.run


def test_of_a_run_that_was_begun_twice_none_stays_open(asked, monkeypatch):
    """MLflow's client makes a call again whose answer was lost."""
    loop, due = asked
    create = MlflowClient.create_run
    monkeypatch.setattr(MlflowClient, "create_run", lambda *args, **named: [create(*args, **named) for _ in "12"][1])
    train_model(loop.model, loop.at, due)
    assert runs(loop) == [("challenger", "FINISHED"), ("challenger", "KILLED")]


def test_of_two_that_register_one_attempt_one_version_stays(asked):
    loop, due = asked
    judge_model(loop.model, loop.at, due, train_model(loop.model, loop.at, due))
    version = register_model(loop.model, loop.at, due).version
    run = loop.stores.models.find_run(due.verdict, "champion")
    assert (
        loop.stores.models.create_version(run, due.verdict, {}, "by one that was paused as it came to this") == version
    )
    assert [name for name in registry(loop.model, loop.at) if name.startswith("version")] == ["version 1"]


def test_where_labels_are_late_changed_code_that_fails_is_a_refusal(tmp_path):
    loop = late_loop(tmp_path)
    loop.stores.ledger.put(
        PromotionRecord(
            as_of=day(14), number=1, version=1, attempt=f"{day(14)}.0", code="c", data="d",
            trained_on=(day(1), day(14)), effective_from=day(15), error=1.0,
        )
    )  # fmt: skip
    model = replace(loop.model, code={**loop.model.code, "features.py": BROKEN})
    due = loop.ask(16)
    result = train_model(model, loop.at, due)
    # The holdout begins where it would with code that can be fitted.
    assert (result.fault, result.trained_on) == (True, (day(1), day(15)))
    record = judge_model(model, loop.at, due, result)
    assert (record.outcome, record.holdout) == ("refused", (day(16),))
    assert "no such thing" in record.why
