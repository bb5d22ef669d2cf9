"""The gate: a tie keeps the champion, noise is not improvement, and no slice pays for the others."""

import numpy as np
import pandas as pd
import pytest

from include.config.contract import GateConfig
from include.judging.gate import attempt_confidence, judge
from include.records import Judgement

BLOCKS = np.repeat(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"], 100)
ZONES = pd.DataFrame({"zone": np.tile(["a", "a", "a", "b"], 100)})
TARGET = np.random.default_rng(1).normal(20, 5, 400)
ERRORS = np.random.default_rng(2).normal(0, 1, 400)


def compare(champion, challenger, rows=ZONES, blocks=BLOCKS, target=TARGET, **settings):
    gate = GateConfig(**({"metric": "mae"} | settings))
    return judge(gate, "promotion 1", target, champion, challenger, blocks, rows)


def test_better_passes_with_its_numbers():
    judgement, refusal = compare(TARGET + ERRORS, TARGET + 0.8 * ERRORS)
    assert refusal is None
    assert judgement.champion == pytest.approx(np.abs(ERRORS).mean())
    assert judgement.challenger == pytest.approx(0.8 * np.abs(ERRORS).mean())
    assert judgement.improvement == pytest.approx(0.2)
    assert 0 < judgement.lower < 0.2
    assert (judgement.against, judgement.metric, judgement.rows, judgement.blocks) == ("promotion 1", "mae", 400, 4)


@pytest.mark.parametrize("min_effect", [0.0, 0.02])
def test_a_tie_is_refused(min_effect):
    judgement, refusal = compare(TARGET + ERRORS, TARGET + ERRORS, min_effect=min_effect)
    assert (judgement.improvement, judgement.lower) == (0, 0)
    assert refusal is not None


def test_two_perfect_models_are_a_tie():
    judgement, refusal = compare(TARGET, TARGET, min_effect=0.0)
    assert (judgement.champion, judgement.challenger, judgement.improvement) == (0, 0, 0)
    assert refusal is not None


def test_worse_is_refused():
    judgement, refusal = compare(TARGET + 0.8 * ERRORS, TARGET + ERRORS)
    assert judgement.improvement == pytest.approx(-0.25)
    assert refusal == "improvement -25.0% is below the minimum effect 2.0%"


@pytest.mark.parametrize(("min_effect", "passed"), [(0.0, True), (0.09, True), (0.11, False)])
def test_the_mean_must_reach_the_minimum_effect(min_effect, passed):
    judgement, refusal = compare(TARGET + ERRORS, TARGET + 0.9 * ERRORS, min_effect=min_effect)
    assert judgement.lower > 0
    assert (refusal is None) is passed
    if not passed:
        assert refusal == "improvement 10.0% is below the minimum effect 11.0%"


def test_an_improvement_of_one_batch_is_noise():
    lucky = np.where(BLOCKS == "2024-01-03", 0.1, 1.01)
    judgement, refusal = compare(TARGET + ERRORS, TARGET + lucky * ERRORS)
    assert judgement.improvement > 0.15
    assert judgement.lower < 0
    assert "is not beyond noise: its lower bound at 95% over 4 batches is -" in refusal


@pytest.mark.parametrize(("confidence", "passed"), [(0.6, True), (0.99, False)])
def test_the_confidence_decides_what_is_noise(confidence, passed):
    uneven = np.repeat([0.6, 0.95, 1.0, 1.02], 100)
    _, refusal = compare(TARGET + ERRORS, TARGET + uneven * ERRORS, confidence=confidence)
    assert (refusal is None) is passed


def test_one_batch_alone_cannot_pass():
    judgement, refusal = compare(TARGET + ERRORS, TARGET + 0.1 * ERRORS, blocks=np.repeat("2024-01-01", 400))
    assert judgement.blocks == 1
    assert np.isfinite(judgement.lower)
    assert "over 1 batches" in refusal


def slice_worse_by(share):
    """A challenger that is better by a fifth but for zone b, where it is worse by a share."""
    factor = np.where(ZONES["zone"] == "b", 1 + share, 0.7)
    return TARGET + factor * ERRORS


@pytest.mark.parametrize(("share", "passed"), [(-0.1, True), (0.05, True), (0.2, False)])
def test_a_slice_may_worsen_up_to_its_limit(share, passed):
    judgement, refusal = compare(
        TARGET + ERRORS, slice_worse_by(share), slices={"zone": {"may_worsen": 0.1, "min_rows": 50}}
    )
    assert [(s.column, s.value, s.rows, s.passed) for s in judgement.slices] == [
        ("zone", "a", 300, True),
        ("zone", "b", 100, passed),
    ]
    assert judgement.slices[1].worse_by == pytest.approx(share)
    assert refusal == (None if passed else "slice zone=b is worse by 20.0% on 100 rows")


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


def test_rmse_is_shown_as_a_root_and_judged_by_squares():
    judgement, refusal = compare(TARGET + ERRORS, TARGET + 0.9 * ERRORS, metric="rmse")
    assert judgement.champion == pytest.approx(np.sqrt(np.mean(ERRORS**2)))
    assert judgement.challenger == pytest.approx(0.9 * judgement.champion)
    assert judgement.improvement == pytest.approx(1 - 0.81)
    assert refusal is None


def test_an_improvement_weighs_batches_alike_above_and_below_the_line():
    blocks = np.repeat(["2024-01-01", "2024-01-02"], [1000, 10])
    old, new = np.repeat([1.0, 100.0], [1000, 10]), np.repeat([1.0, 50.0], [1000, 10])
    rows, target = pd.DataFrame({"zone": ["a"] * 1010}), np.zeros(1010)
    judgement, _ = compare(old, new, rows=rows, blocks=blocks, target=target, slices={"zone": {"may_worsen": 0.1}})
    assert judgement.improvement == pytest.approx(25 / 50.5)
    assert judgement.slices[0].worse_by == pytest.approx(-25 / 50.5)


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


@pytest.mark.parametrize(
    ("attempts", "errors"),
    [(1, [0.05]), (2, [0.025, 0.025]), (3, [0.025, 0.0125, 0.0125]), (8, [0.025] + [0.025 / 7] * 7)],
)
def test_the_attempts_of_a_verdict_share_its_error(attempts, errors):
    spent = [1 - attempt_confidence(0.95, number, attempts) for number in range(1, attempts + 1)]
    assert spent == pytest.approx(errors)
    assert sum(spent) == pytest.approx(0.05)


def test_a_verdicts_attempts_together_promote_equals_as_seldom_as_promised():
    random = np.random.default_rng(6)
    promoted = {3: 0, 1: 0}
    for attempts in promoted:
        for _ in range(300):
            shared, *own = random.normal(0, 1, (3, 3, 400))
            for number in (1, 2, 3):
                at = number - 1
                judgement, _ = compare(
                    TARGET + shared[at] + own[0][at], TARGET + shared[at] + own[1][at],
                    min_effect=0, confidence=attempt_confidence(0.95, number, attempts),
                )  # fmt: skip
                if judgement.lower > 0:
                    promoted[attempts] += 1
                    break
    # 5 % less what Bonferroni gives away is 4.9 %; three attempts at 95 % each would be 14.3 %.
    assert 0.03 * 300 <= promoted[3] <= 0.07 * 300
    assert promoted[1] >= 0.11 * 300


def test_an_attempt_is_judged_at_its_own_confidence_and_says_so():
    uneven = np.repeat([0.6, 0.7, 0.8, 0.95], 100)
    gate = GateConfig(metric="mae")
    parts = ("promotion 1", TARGET, TARGET + ERRORS, TARGET + uneven * ERRORS, BLOCKS, ZONES)
    alone, passed = judge(gate, *parts)
    assert (alone.confidence, passed) == (0.95, None)
    last, refusal = judge(gate, *parts, 1 - 0.05 / 2 / 7)
    assert last.confidence == pytest.approx(0.99643, abs=1e-5)
    assert last.improvement == alone.improvement
    assert "is not beyond noise: its lower bound at 99.64% over 4 batches is -" in refusal


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
        TARGET + 3 * ERRORS, TARGET + 0.2 * ERRORS + shift, calibration={"may_worsen": 0.01, "min_rows": 400}
    )
    assert refusal is None
    assert judgement.calibration.worse_by > 0.01
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


def test_calibration_is_judged_unless_it_is_turned_off():
    much, blocks, target = np.tile(ERRORS, 2), np.tile(BLOCKS, 2), np.tile(TARGET, 2)
    champion, challenger = target + much, target + 0.3 * much + 0.4
    judgement, refusal = compare(champion, challenger, blocks=blocks, target=target)
    assert judgement.calibration.rows == 800
    assert refusal.startswith("calibration is worse by")
    judgement, refusal = compare(champion, challenger, blocks=blocks, target=target, calibration=None)
    assert (judgement.calibration, refusal) == (None, None)
