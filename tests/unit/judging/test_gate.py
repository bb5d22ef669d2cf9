"""The gate: a tie keeps the champion, noise is not improvement, and no slice pays for the others."""

import numpy as np
import pandas as pd
import pytest

from include.config.contract import GateConfig
from include.judging.gate import judge

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
