"""Somebody serves from the first labels: the baseline until something beats it, and where a refit fails."""

from dataclasses import replace

import numpy as np
import pytest

from evergreen.incidents import last_incident
from evergreen.records import ClosingRecord
from evergreen.replay.status import describe_status, describe_version
from evergreen.steps.approve_model import approve_model
from evergreen.steps.judge_model import judge_model
from evergreen.steps.promote_model import promote_model
from evergreen.steps.register_model import RegisterResult, register_model
from evergreen.steps.train_model import train_model
from tests.unit.small_loop import CLASSES, LOGISTIC, ROWS, SmallLoop, day, doubled, make_rows, unrelated

# Box-Cox refuses what is not above zero, when it fits and not when it predicts.
STRICT = """\
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import PowerTransformer


def build_estimator(seed):
    return TransformedTargetRegressor(LinearRegression(), transformer=PowerTransformer("box-cox"), check_inverse=False)
"""


def spoiled(x, random):
    """The line, and one outcome of nothing."""
    return np.append(doubled(x[:-1], random), 0.0)


def steep(x, random):
    """Another line, so that a challenger is worth it."""
    return 30 + 9 * x + random.normal(0, 0.1, len(x))


def test_the_baseline_serves_from_the_first_labels_until_something_beats_it(tmp_path):
    loop = SmallLoop.under(tmp_path, retrain={"any": ["never"]})
    loop.run(unrelated, 1, 2)
    first, (promotion,) = loop.attempt(1), loop.promotions
    assert (first.outcome, first.baseline, first.trained_on, first.judgement) == ("passed", True, None, None)
    assert (promotion.baseline, promotion.error, promotion.effective_from) == (True, None, day(2))
    assert loop.predictions(2)["prediction"].unique() == pytest.approx([make_rows(1, unrelated)["y"].median()])
    refused = loop.attempt(2)
    assert (refused.outcome, refused.baseline, refused.against) == ("refused", True, 1)
    assert refused.why == "the baseline did best, and has learnt all labels before the holdout"
    told = "\n".join(describe_status(loop.model, loop.at))
    assert f"version 1, the baseline, serves since batch {day(2)}" in told
    # Whatever the policies say, it is asked for until a challenger wins; then they decide.
    loop.run(steep, 3, 4, 5, 6)
    won = next(one for one in loop.promotions if not one.baseline)
    assert loop.attempt(int(won.as_of[-2:])).judgement.expected > loop.model.config.gate.min_effect
    assert [one.reasons for one in loop.verdicts if one.as_of <= won.as_of] == [("bootstrap",)] * int(won.as_of[-2:])
    assert not any(one.reasons for one in loop.verdicts if one.as_of > won.as_of)
    assert loop.stores.models.champion() == (won.version, won.number)
    # MLflow reads a version's description as Markdown, and takes so many characters of it.
    store = loop.stores.models
    version = store.create_version(store.find_run(won.attempt, "champion"), "again", {}, "zone=<b>x</b> " * 1000)
    said = store._client.get_model_version(store.name, str(version)).description
    assert said.startswith("zone=\\<b\\>x\\</b\\> zone=")
    assert 4900 < len(said) <= 5000


@pytest.mark.parametrize("outcome", [0, 1])
def test_labels_all_of_one_class_are_served_by_the_share_that_may_come(outcome, tmp_path):
    loop = SmallLoop.under(tmp_path, estimator=LOGISTIC, **CLASSES)
    loop.run(lambda x, _: np.full(len(x), outcome), 1, 2)
    assert [one.baseline for one in loop.promotions] == [True]
    share = (outcome * ROWS + 1) / (ROWS + 2)
    assert loop.predictions(2)["prediction"].unique() == pytest.approx([share])
    assert f"0 of {ROWS} labels are {1 - outcome}" in loop.attempt(2).why


def test_without_enough_labels_nobody_serves_yet(tmp_path):
    loop = SmallLoop.under(tmp_path, training={"min_labels": ROWS + 1})
    loop.run(doubled, 1)
    assert (loop.verdicts[0].reasons, loop.promotions) == ((), [])
    loop.run(doubled, 2)
    # Two days of labels: one to learn from, one to be judged on.
    assert [(one.baseline, one.effective_from) for one in loop.promotions] == [(False, day(3))]


def test_broken_code_is_told_once_and_the_baseline_serves(tmp_path):
    broken = "def build_features(batch, history):\n    raise ValueError('no such thing')\n"
    loop = SmallLoop.under(tmp_path, features=broken, training={"min_labels": ROWS + 1})
    loop.run(doubled, 1, 2)
    assert [one.baseline for one in loop.promotions] == [True]
    told = last_incident(loop.stores.ledger, "unfit").opened
    assert "no such thing" in told.text
    assert told.done == "The baseline serves."


@pytest.mark.parametrize(
    ("wait", "told"),
    [
        ("7d", "Nobody serves. Without an answer within 7 days the challenger is refused."),
        ("forever", "Nobody serves. It waits until somebody answers."),
    ],
)
def test_where_approval_is_required_the_baseline_waits_for_it_too(tmp_path, wait, told):
    gate = {"metric": "mae", "min_rows": 30, "approval": "required", "approval_wait": wait}
    loop = SmallLoop.under(tmp_path, gate=gate)
    loop.run(doubled, 1)
    record = loop.attempt(1)
    assert (record.outcome, record.baseline, loop.promotions) == ("needs approval", True, [])
    assert last_incident(loop.stores.ledger, "approval").opened.done == told
    due = loop.due(1)
    approve_model(loop.model, loop.at, due, True, "ada")
    version = register_model(loop.model, loop.at, due).version
    assert promote_model(loop.model, loop.at, due, version).baseline


def judged(loop, number):
    """The attempt that a day's check asked for, judged."""
    due = loop.ask(number)
    record = judge_model(loop.model, loop.at, due, train_model(loop.model, loop.at, due))
    assert (record.outcome, record.baseline) == ("passed", False)
    return due, record


def test_a_refit_that_fails_before_anybody_serves_ends_in_the_baseline(tmp_path):
    loop = SmallLoop.under(tmp_path, estimator=STRICT)
    loop.take(doubled, 1)
    loop.take(spoiled, 2)
    due, _ = judged(loop, 2)
    version = register_model(loop.model, loop.at, due).version
    promotion = promote_model(loop.model, loop.at, due, version)
    assert (promotion.baseline, promotion.version, promotion.trained_on) == (True, version, (day(1), day(2)))
    assert register_model(loop.model, loop.at, due) == RegisterResult(version)
    incident = last_incident(loop.stores.ledger, "unfit").opened
    assert "has passed, and its refit failed" in incident.text
    assert "strictly positive" in incident.text
    loop.take(doubled, 3)
    y = np.concatenate([make_rows(1, doubled)["y"], make_rows(2, spoiled)["y"]])
    assert loop.predictions(3)["prediction"].unique() == pytest.approx([np.median(y)])


def test_a_refit_that_fails_where_somebody_serves_ends_refused(tmp_path):
    loop = SmallLoop.under(tmp_path, estimator=STRICT, training={"window": 1, "min_labels": 30})
    loop.run(doubled, 1, 2)
    champion = loop.promotions[-1]
    assert not champion.baseline
    loop.take(steep, 3)
    loop.take(lambda x, random: np.append(steep(x[:-1], random), 0.0), 4)
    due, record = judged(loop, 4)
    assert register_model(loop.model, loop.at, due) == RegisterResult(None)
    closing = loop.stores.ledger.get(ClosingRecord, due.verdict)
    assert (closing.outcome, closing.why.startswith("the refit failed: ")) == ("refused", True)
    assert (record.against, loop.promotions[-1]) == (champion.number, champion)
    assert last_incident(loop.stores.ledger, "unfit").opened.as_of == day(4)
    assert next(describe_version(loop.model, loop.at, champion.version)).startswith("small version")


def test_a_refit_keeps_the_recipe_that_was_judged_whatever_the_folder_says_by_then(tmp_path):
    loop = SmallLoop.under(tmp_path, training={"window": 2, "min_labels": 30})
    loop.take(doubled, 1, 2, 3)
    due, _ = judged(loop, 3)
    edited = loop.using(
        model={"task": "regression", "seed": 8}, training={"window": 1, "min_labels": 30}, features={"lookback": 2}
    )
    code = {**edited.model.code, "estimator.py": edited.model.code["estimator.py"] + "\n# Another.\n"}
    version = register_model(replace(edited.model, code=code), loop.at, due).version
    packed = loop.stores.models.load_promoted(promote_model(edited.model, loop.at, due, version))
    assert (packed.spec.seed, packed.spec.window, packed.spec.lookback) == (7, 2, 0)
    assert packed.code["estimator.py"] == loop.model.code["estimator.py"]
