"""A recipe that has learnt nothing any more gives way to the best constant, and comes back when there is something."""

from dataclasses import replace

import numpy as np
import pytest

from evergreen.replay.status import describe_status
from evergreen.steps.judge_model import judge_model
from evergreen.steps.rollback_model import plan_rollback
from evergreen.steps.train_model import train_model
from tests.unit.small_loop import FEATURES, SmallLoop, day, make_rows

# Grown to the last row, it learns noise by heart.
TREE = """\
from sklearn.tree import DecisionTreeRegressor


def build_estimator(seed):
    return DecisionTreeRegressor(random_state=seed)
"""


def sloped(slope, noise):
    """Outcomes around 11, which x tells by its slope."""
    return lambda x, random: 11 + slope * (x - 0.5) + random.normal(0, noise, len(x))


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """A slope that ends on the third day, and a steeper one from the ninth on."""
    loop = SmallLoop.under(
        tmp_path_factory.mktemp("again"), estimator=TREE, training={"window": "all", "min_labels": 5}
    )
    loop.run(sloped(2, 0.3), 1, 2)
    loop.run(sloped(0, 1), *range(3, 9))
    loop.run(sloped(8, 0.3), *range(9, 12))
    return loop


def median_until(number):
    laws = {1: sloped(2, 0.3), 2: sloped(2, 0.3)}
    return float(
        np.median(np.concatenate([make_rows(n, laws.get(n, sloped(0, 1)))["y"] for n in range(1, number + 1)]))
    )


def test_where_nothing_is_left_to_learn_the_baseline_serves_again_and_where_there_is_a_recipe(loop):
    told = [(one.as_of, one.baseline) for one in loop.promotions]
    assert told == [(day(1), True), (day(2), False), (day(4), True), (day(10), False)]
    back = loop.promotions[2]
    # Fitted anew on all that is known.
    assert back.trained_on == (day(1), day(4))
    # The first one went on in the place of what had been judged.
    assert (loop.promotions[0].error, back.error) == (None, loop.attempt(4).judgement.challenger)
    assert loop.predictions(5)["prediction"].unique() == pytest.approx([median_until(4)])
    # Older than it, and a recipe: there is nothing else that a rollback should go back to.
    assert plan_rollback(loop.model, loop.at, None, "to see").version == 2


def test_the_attempt_tells_what_was_compared_and_how_the_baseline_was_judged(loop):
    won = loop.attempt(4)
    assert (won.outcome, won.baseline, won.window, won.refresh, won.freshness) == (
        "passed", True, "baseline", False, None,
    )  # fmt: skip
    assert list(won.tried) == ["all", "baseline"]
    losses = (make_rows(4, sloped(0, 1))["y"] - np.median(
        np.concatenate([make_rows(1, sloped(2, 0.3))["y"], make_rows(2, sloped(2, 0.3))["y"],
                        make_rows(3, sloped(0, 1))["y"]])
    )).abs()  # fmt: skip
    assert won.tried["baseline"] == won.judgement.challenger == pytest.approx(losses.mean())
    assert won.judgement.against == "version 2"
    assert won.why == f"the baseline: {won.judgement.gain}"
    # Right after its promotion there is no other constant to fit, and later one is no better.
    same, later = loop.attempt(5), loop.attempt(6)
    assert (same.outcome, same.judgement) == ("refused", None)
    assert same.why == "the baseline did best, and has learnt all labels before the holdout"
    assert (later.outcome, later.baseline, later.judgement.against) == ("refused", True, "version 3, the baseline")


def test_a_challenger_that_is_the_baseline_is_found_again_and_judged_once(loop):
    due = loop.due(4)
    found = train_model(loop.model, loop.at, due)
    assert (found.baseline, found.window, found.tried) == (True, "baseline", loop.attempt(4).tried)
    assert judge_model(loop.model, loop.at, due, found) == loop.attempt(4)
    assert judge_model(loop.model, loop.at, due, replace(found, baseline=False)) == loop.attempt(4)
    tags = loop.stores.models.run_data(found.run).tags
    assert (tags["evergreen.baseline"], tags["evergreen.window"]) == ("yes", "baseline")


def test_changed_code_is_compared_by_what_it_came_to_itself(tmp_path):
    """Attempts of the code before, which learnt noise, do not hold it back."""
    loop = SmallLoop.under(tmp_path, features=NOISE, estimator=TREE, training={"window": "all", "min_labels": 5})
    loop.run(sloped(2, 0.3), *range(1, 6))
    assert [one.baseline for one in loop.promotions] == [True]
    assert loop.attempt(5).window == "baseline"
    mended = replace(loop, model=replace(loop.model, code={**loop.model.code, "features.py": FEATURES}))
    mended.run(sloped(2, 0.3), 6)
    told = mended.attempt(6)
    assert (told.window, told.outcome, told.judgement.against) == ("all", "passed", "version 1, the baseline")
    assert f"version 2 serves since batch {day(7)}" in "\n".join(describe_status(mended.model, mended.at))


NOISE = """\
def build_features(batch, history):
    return (batch[["id"]] * 0.618034) % 1
"""
