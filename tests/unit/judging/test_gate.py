"""The gate: what is expected must be worth it, a tie keeps the champion, and no slice pays for the others."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evergreen.config.gate_config import GateConfig
from evergreen.judging.gate import HANDFUL, judge, too_few_of_a_class
from evergreen.judging.uncertainty import expect_mean, relative_to
from evergreen.records import Judgement

BLOCKS = np.repeat(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"], 100)
ZONES = pd.DataFrame({"zone": np.tile(["a", "a", "a", "b"], 100)})
TARGET = np.random.default_rng(1).normal(20, 5, 400)
ERRORS = np.random.default_rng(2).normal(0, 1, 400)


def compare(champion, challenger, rows=ZONES, blocks=BLOCKS, target=TARGET, new_code=False, **settings):
    gate = GateConfig(**({"metric": "mae", "min_effect": 0.02} | settings))
    return judge(gate, "promotion 1", target, champion, challenger, blocks, rows, new_code)


def test_better_passes_with_its_numbers():
    judgement, refusal = compare(TARGET + ERRORS, TARGET + 0.8 * ERRORS)
    assert refusal is None
    assert judgement.champion == pytest.approx(np.abs(ERRORS).mean())
    assert judgement.challenger == pytest.approx(0.8 * np.abs(ERRORS).mean())
    assert judgement.improvement == pytest.approx(0.2, rel=0.01)
    assert 0 < judgement.lower < judgement.expected < judgement.improvement < judgement.upper
    assert (judgement.worse, judgement.proof) == (pytest.approx(0, abs=1e-9), None)
    assert (judgement.against, judgement.metric, judgement.rows, judgement.blocks) == ("promotion 1", "mae", 400, 4)


@pytest.mark.parametrize("min_effect", [0.0, 0.02])
@pytest.mark.parametrize("errors", [ERRORS, 0 * ERRORS], ids=["equal", "both perfect"])
def test_a_tie_is_refused(errors, min_effect):
    judgement, refusal = compare(TARGET + errors, TARGET + errors, min_effect=min_effect)
    assert (judgement.improvement, judgement.expected, judgement.worse) == (0, 0, 0.5)
    assert refusal is not None


def test_worse_is_refused_in_words():
    judgement, refusal = compare(TARGET + 0.8 * ERRORS, TARGET + ERRORS)
    assert judgement.improvement == pytest.approx(-0.25, rel=0.01)
    assert refusal == (
        f"improvement {judgement.improvement:.1%} on 400 rows, expected {judgement.expected:.1%}, worse with a "
        "probability of 100%; not above the minimum effect 2.0%"
    )


@pytest.mark.parametrize(("min_effect", "passed"), [(0.0, True), (0.09, True), (0.11, False)])
def test_what_is_expected_must_be_above_the_minimum_effect(min_effect, passed):
    _, refusal = compare(TARGET + ERRORS, TARGET + 0.9 * ERRORS, min_effect=min_effect)
    assert (refusal is None) is passed


def test_the_fewer_rows_the_less_of_an_improvement_is_expected():
    other = np.random.default_rng(3).normal(0, 0.8, 400)
    kept = []
    for rows in (12, 40, 400):
        take = np.linspace(0, 399, rows).astype(int)
        champion = TARGET[take] + ERRORS[take]
        judgement, _ = compare(champion, TARGET[take] + other[take], ZONES.iloc[take], BLOCKS[take], TARGET[take])
        kept.append(judgement.expected / judgement.improvement)
    assert 0 < kept[0] < kept[1] < kept[2] < 1


def test_a_tiny_batch_gone_wrong_does_not_outweigh_the_others():
    blocks = np.repeat(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"], [130, 130, 130, 10])
    factor = np.where(blocks == "2024-01-04", 2.0, 0.8)
    judgement, refusal = compare(TARGET + ERRORS, TARGET + factor * ERRORS, blocks=blocks)
    assert refusal is None
    assert judgement.improvement == pytest.approx((390 * 0.2 - 10) / 400, abs=0.02)


def test_gains_are_relative_batch_by_batch():
    """A champion whose level moves makes no noise of a steady gain, and its loud batch counts by its rows."""
    level = np.repeat([1.0, 1.0, 1.0, 50.0], 100)
    steady, refusal = compare(TARGET + level * ERRORS, TARGET + 0.9 * level * ERRORS)
    assert refusal is None
    assert steady.improvement == pytest.approx(0.1)
    loud = np.repeat([1.0, 1.0, 1.0, 0.5], 100) * level
    judgement, _ = compare(TARGET + level * ERRORS, TARGET + loud * ERRORS)
    assert judgement.improvement == pytest.approx(0.5 / 4)
    assert 1 - judgement.challenger / judgement.champion == pytest.approx(0.5 * 50 / 53, abs=0.01)


@pytest.mark.parametrize(("scale", "passed"), [(0.87, False), (0.8, True)])
def test_new_code_must_hardly_ever_be_the_worse_one(scale, passed):
    """What is good enough for the code that serves is not for another: a change of code may have gone wrong."""
    other = scale * np.random.default_rng(3).normal(0, 1, 400)
    assert compare(TARGET + ERRORS, TARGET + other, min_effect=0.01)[1] is None
    judgement, refusal = compare(TARGET + ERRORS, TARGET + other, min_effect=0.01, new_code=True)
    assert (judgement.worse <= 0.005) is passed
    assert refusal == (None if passed else f"{judgement.gain}; of new code 0.5% at most")


UNEVEN = np.repeat([0.7, 0.9, 0.95, 0.98], 100)


def test_proof_is_asked_for_where_config_says_a_confidence():
    """An improvement that comes from one batch mostly is expected to come again in part, and is not beyond noise."""
    champion, challenger = TARGET + ERRORS, TARGET + UNEVEN * ERRORS
    assert compare(champion, challenger, min_effect=0.01)[1] is None
    judgement, refusal = compare(champion, challenger, min_effect=0.01, confidence=0.95)
    gains = pd.Series(np.abs(ERRORS) * (1 - UNEVEN)).groupby(BLOCKS).mean()
    levels = pd.Series(np.abs(ERRORS)).groupby(BLOCKS).mean()
    shares = (gains / levels).to_numpy()
    assert judgement.proof == pytest.approx(shares.mean() - stats.t.ppf(0.95, 3) * shares.std(ddof=1) / 2)
    assert f"is not beyond noise: its lower bound at 95% over 4 batches is {judgement.proof:.1%}" in refusal


@pytest.mark.parametrize(("confidence", "passed"), [(0.6, True), (0.99, False)])
def test_the_confidence_decides_what_is_proof(confidence, passed):
    _, refusal = compare(TARGET + ERRORS, TARGET + UNEVEN * ERRORS, min_effect=0.01, confidence=confidence)
    assert (refusal is None) is passed


def test_one_batch_is_enough_to_expect_and_proves_nothing():
    alone = np.repeat("2024-01-01", 400)
    assert compare(TARGET + ERRORS, TARGET + 0.5 * ERRORS, blocks=alone)[1] is None
    judgement, refusal = compare(TARGET + ERRORS, TARGET + 0.5 * ERRORS, blocks=alone, confidence=0.95)
    assert (judgement.blocks, judgement.proof) == (1, None)
    assert "is not proven: one batch of labels has no interval" in refusal


@pytest.mark.parametrize(("metric", "ones"), [("brier", 0), ("logloss", HANDFUL - 1), ("brier", 400), ("logloss", 397)])
def test_a_holdout_without_a_handful_of_the_rarer_class_proves_nothing(metric, ones):
    target = np.repeat([1, 0], [ones, 400 - ones])
    champion, challenger = np.full(400, 0.4), np.where(target == 1, 0.95, 0.05)
    _, refusal = compare(champion, challenger, target=target, metric=metric)
    few, rare = (ones, 1) if ones < 200 else (400 - ones, 0)
    assert refusal == f"in the holdout {few} of 400 labels are {rare}; {HANDFUL} are needed to tell of them"
    target[:HANDFUL], target[-HANDFUL:] = 1, 0
    assert compare(champion, np.where(target == 1, 0.95, 0.05), target=target, metric=metric)[1] is None


def test_of_a_regression_and_of_no_labels_there_is_no_rarer_class():
    assert too_few_of_a_class("regression", np.zeros(9)) is None
    assert too_few_of_a_class("classification", np.array([])) is None
    assert too_few_of_a_class("classification", np.array([True] * 9 + [False] * HANDFUL)) is None


def slice_worse_by(share):
    """A challenger that is better by three tenths but for zone b, where it is worse by a share."""
    factor = np.where(ZONES["zone"] == "b", 1 + share, 0.7)
    return TARGET + factor * ERRORS


@pytest.mark.parametrize(("share", "passed"), [(-0.1, True), (0.05, True), (0.2, False)])
def test_a_slice_may_worsen_up_to_its_limit(share, passed):
    judgement, refusal = compare(
        TARGET + ERRORS, slice_worse_by(share), slices={"zone": {"may_worsen": 0.1, "min_rows": 100}}
    )
    assert [(s.column, s.value, s.rows, s.passed) for s in judgement.slices] == [
        ("zone", "a", 300, True),
        ("zone", "b", 100, passed),
    ]
    worse = judgement.slices[1].worse_by
    assert worse == pytest.approx(share, rel=0.05)
    assert refusal == (None if passed else f"slice zone=b is worse by {worse:.1%} on 100 rows")


def test_a_slice_without_enough_rows_is_not_judged():
    judgement, refusal = compare(
        TARGET + ERRORS, slice_worse_by(0.5), slices={"zone": {"may_worsen": 0.1, "min_rows": 101}}
    )
    assert [s.value for s in judgement.slices] == ["a"]
    assert refusal is None


def test_slices_of_several_columns_are_judged_in_order():
    rows = ZONES.assign(flag=np.repeat([True, False], 200))
    judgement, _ = compare(TARGET + ERRORS, slice_worse_by(0), rows=rows, slices={"zone": {}, "flag": {}})
    assert [(s.column, s.value) for s in judgement.slices] == [
        ("flag", "False"),
        ("flag", "True"),
        ("zone", "a"),
        ("zone", "b"),
    ]


def test_a_slice_that_is_worse_within_its_noise_passes():
    in_b = ZONES["zone"].to_numpy() == "b"
    factor = np.where(in_b, np.repeat([2.0, 0.9, 0.8, 1.0], 100), 0.5)
    judgement, refusal = compare(TARGET + ERRORS, TARGET + factor * ERRORS, slices={"zone": {"may_worsen": 0.05}})
    assert judgement.slices[1].worse_by > 0.05
    assert judgement.slices[1].passed
    assert refusal is None


@pytest.mark.parametrize("confidence", [None, 0.8, 0.9])
def test_a_slice_is_judged_by_what_is_expected_at_whatever_confidence_the_whole_is_proven(confidence):
    in_b = ZONES["zone"].to_numpy() == "b"
    factor = np.where(in_b, np.repeat([1.4, 1.0, 1.3, 1.1], 100), 0.5)
    judgement, refusal = compare(
        TARGET + ERRORS, TARGET + factor * ERRORS, slices={"zone": {"may_worsen": 0.03}}, confidence=confidence
    )
    judged, old, new = judgement.slices[1], np.abs(ERRORS)[in_b], np.abs(factor * ERRORS)[in_b]
    worse = expect_mean(relative_to(new - old, old, BLOCKS[in_b]), BLOCKS[in_b])
    # Not proven to be worse, and not allowed: nobody has to prove it.
    assert worse.ends[0] < 0.03 < worse.expected
    assert (judged.worse_by, judged.passed) == (pytest.approx(worse.mean), False)
    assert refusal == f"slice zone=b is worse by {worse.mean:.1%} on 100 rows"


def test_rmse_is_shown_as_a_root_and_judged_by_squares():
    judgement, refusal = compare(TARGET + ERRORS, TARGET + 0.9 * ERRORS, metric="rmse")
    assert judgement.champion == pytest.approx(np.sqrt(np.mean(ERRORS**2)))
    assert judgement.challenger == pytest.approx(0.9 * judgement.champion)
    assert judgement.improvement == pytest.approx(1 - 0.81, rel=0.02)
    assert refusal is None


def test_a_loss_beyond_all_measure_is_refused_and_its_record_can_be_read():
    target = TARGET.copy()
    target[7] = 1.7e308
    judgement, refusal = compare(TARGET + ERRORS, TARGET + 0.5 * ERRORS, target=target, metric="rmse")
    assert refusal is not None
    assert refusal.startswith("rmse cannot be told: champion inf, challenger inf; look for labels")
    read = Judgement.model_validate_json(judgement.model_dump_json())
    assert (read.champion, np.isnan(read.improvement)) == (np.inf, True)


@pytest.mark.parametrize("metric", ["logloss", "brier"])
def test_probabilities_are_judged_against_a_constant(metric):
    random = np.random.default_rng(3)
    chance = random.uniform(0.05, 0.95, 400)
    target = (random.random(400) < chance).astype(int)
    constant = np.full(400, target.mean())
    assert compare(constant, chance, target=target, metric=metric)[1] is None
    assert compare(chance, constant, target=target, metric=metric)[1] is not None


def test_a_prediction_that_is_no_number_is_refused():
    broken = TARGET + 0.5 * ERRORS
    broken[7] = np.nan
    assert compare(TARGET + ERRORS, broken)[1] is not None


def test_a_shift_that_the_loss_forgives_is_refused_for_calibration():
    shifted = TARGET + 0.3 * ERRORS + 0.4
    judgement, refusal = compare(TARGET + ERRORS, shifted, calibration={"may_worsen": 0.1, "min_rows": 400})
    calibration = judgement.calibration
    assert judgement.lower > 0
    assert (calibration.rows, calibration.passed) == (400, False)
    assert calibration.champion == pytest.approx(abs(ERRORS.mean()))
    assert calibration.challenger == pytest.approx(abs(0.3 * ERRORS.mean() + 0.4))
    assert calibration.worse_by == pytest.approx((calibration.challenger - calibration.champion) / judgement.champion)
    assert refusal == (
        f"calibration is worse by {calibration.worse_by:.1%} of the champion's mae on 400 rows: mean residual "
        f"{calibration.challenger:.4g}, the champion's {calibration.champion:.4g}"
    )


@pytest.mark.parametrize("limit", [{"may_worsen": 0.6}, {"may_worsen": 0.1, "min_rows": 401}])
def test_calibration_may_worsen_up_to_its_limit_and_needs_enough_rows(limit):
    judgement, refusal = compare(TARGET + ERRORS, TARGET + 0.3 * ERRORS + 0.4, calibration={"min_rows": 400} | limit)
    assert refusal is None
    assert (judgement.calibration is None) == (limit.get("min_rows") == 401)


def test_calibration_that_is_worse_within_its_noise_passes():
    shift = np.repeat([2.0, -0.6, -0.5, 0.3], 100)
    judgement, refusal = compare(
        TARGET + 3 * ERRORS, TARGET + 0.2 * ERRORS + shift, calibration={"may_worsen": 0.03, "min_rows": 400}
    )
    assert refusal is None
    assert judgement.calibration.worse_by > 0.03
    assert judgement.calibration.passed


def probabilities(seed=3):
    random = np.random.default_rng(seed)
    chance = random.uniform(0.05, 0.95, 400)
    return chance, (random.random(400) < chance).astype(int)


def test_probabilities_that_are_too_sure_are_refused_for_calibration():
    random = np.random.default_rng(4)
    chance = random.choice([0.05, 0.15, 0.85, 0.95], 4000)
    target = (random.random(4000) < chance).astype(int)
    # It tells little, but what it says holds; the challenger tells far more, and is sure where it should not be.
    vague = np.where(np.isin(chance, [0.05, 0.85]), 0.45, 0.55)
    sure = np.where(chance > 0.5, 0.999, 0.001)
    judgement, refusal = compare(
        vague,
        sure,
        target=target,
        metric="brier",
        blocks=np.repeat(np.arange(4), 1000),
        calibration={"may_worsen": 0.05},
    )
    assert judgement.improvement > 0.5
    assert judgement.calibration.champion < 0.02
    assert judgement.calibration.challenger == pytest.approx(0.1, abs=0.02)
    assert refusal.startswith(
        f"calibration is worse by {judgement.calibration.worse_by:.1%} of probability on 4000 rows"
    )


def test_probabilities_that_hold_are_calibrated():
    chance, target = probabilities()
    judgement, _ = compare(chance, chance, target=target, metric="brier", calibration={"min_rows": 400})
    # Ten bins of forty rows: what is left of noise alone is about 0.8 * 0.4 / 40 ** 0.5 = 5 points.
    assert judgement.calibration.champion < 0.08
    assert (judgement.calibration.worse_by, judgement.calibration.passed) == (0, True)


def test_a_constant_is_no_match_in_calibration():
    judgement, refusal = compare(
        np.full(400, TARGET.mean()), TARGET + 0.2 * ERRORS + 0.5, calibration={"may_worsen": 0.01, "min_rows": 400}
    )
    assert judgement.calibration is None
    assert refusal is None
