"""Slices, calibration and failures of a challenger online: told beyond doubt, or not at all."""

import numpy as np
import pandas as pd
import pytest

from evergreen.config.gate_config import GateConfig
from evergreen.features.answers import SLICE
from evergreen.judging.arm_limits import compare_arms
from evergreen.judging.arms import fails_too_often

DAYS = 30
GATE = GateConfig.model_validate(
    {"metric": "mae", "min_rows": 100, "slices": {"kind": {"may_worsen": "10%"}}, "calibration": {}}
)
CLASSES = GateConfig.model_validate({"metric": "logloss", "min_rows": 100, "calibration": {"min_rows": 300}})


def answered(seed: int, rows: int, days: int = DAYS) -> pd.DataFrame:
    """Answers of an unbiased model, whose errors differ by kind."""
    random, count = np.random.default_rng(seed), rows * days
    kind, target = random.choice(["a", "b", "c"], count), random.normal(20, 5, count)
    found = {"target": target, f"{SLICE}kind": kind, "decision": np.repeat(np.arange(days), rows)}
    return predicted(seed + 1_000, pd.DataFrame(found, index=seed * 1_000_000 + np.arange(count)))


def predicted(seed: int, rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows, answered by another such model."""
    errors = np.random.default_rng(seed).normal(0, 1, len(rows)) * np.where(rows[f"{SLICE}kind"] == "c", 3, 1)
    return rows.assign(prediction=rows["target"] + errors)


def test_a_challenger_that_is_better_but_worse_on_a_slice_breaks_that_limit_alone() -> None:
    old, new = answered(1, 300), answered(2, 100)
    worse = new[f"{SLICE}kind"] == "a"
    errors = (new["prediction"] - new["target"]) * np.where(worse, 1.6, 0.5)
    compared, limits = compare_arms(GATE, old, new.assign(prediction=new["target"] + errors))
    assert compared is not None
    assert compared.lower > 0
    assert [limit.what for limit in limits if limit.is_broken] == ["slice kind=a"]
    assert {limit.what for limit in limits} == {
        "slice kind=a", "slice kind=b", "slice kind=c", "calibration (mean residual)"
    }  # fmt: skip
    (broken,) = [limit for limit in limits if limit.is_broken]
    assert broken.told.startswith("slice kind=a is worse by ")
    assert broken.told.endswith("10.0% is allowed")


def test_a_challenger_that_predicts_too_much_breaks_the_calibration() -> None:
    old, new = answered(1, 300), answered(2, 100)
    compared, limits = compare_arms(GATE, old, new.assign(prediction=new["prediction"] + 0.9))
    assert compared is not None
    assert "calibration (mean residual)" in [limit.what for limit in limits if limit.is_broken]
    # The same rows answered by both, as a shadow does.
    _, limits = compare_arms(GATE, old, old.assign(prediction=old["prediction"] + 0.9))
    assert "calibration (mean residual)" in [limit.what for limit in limits if limit.is_broken]


def test_without_enough_rows_and_without_limits_nothing_is_judged() -> None:
    _, limits = compare_arms(GATE, answered(1, 40, 2), answered(2, 40, 2))
    assert limits == ()
    plain = GATE.model_copy(update={"slices": {}, "calibration": None})
    assert compare_arms(plain, answered(1, 300), answered(2, 100))[1] == ()


@pytest.mark.parametrize("pairs", [True, False], ids=["a shadow", "a small arm"])
def test_equal_models_break_no_limit_at_daily_looks(pairs: bool) -> None:
    runs, wrong = 60, 0
    for run in range(runs):
        old = answered(2 * run, 200, 12)
        new = predicted(run, old) if pairs else answered(2 * run + 1, 50, 12)
        looks = (compare_arms(GATE, old[old["decision"] < day], new[new["decision"] < day])[1] for day in range(2, 13))
        wrong += any(limit.is_broken for limits in looks for limit in limits)
    assert wrong / runs <= 0.05


def test_equal_probabilities_break_no_calibration_though_one_arm_is_small() -> None:
    random, wrong, runs = np.random.default_rng(5), 0, 60
    for _ in range(runs):
        sides = []
        for count in (4_000, 400):
            share = random.uniform(0.05, 0.95, count)
            target = (random.random(count) < share).astype(float)
            sides.append(pd.DataFrame({"target": target, "prediction": share, "decision": np.arange(count) % 10}))
        sides[1].index += 4_000
        wrong += any(limit.is_broken for limit in compare_arms(CLASSES, *sides)[1])
    assert wrong / runs <= 0.05


def test_failures_are_told_from_bad_luck_at_all_looks_together() -> None:
    assert not fails_too_often(0, 1_000)
    assert not fails_too_often(1, 100)
    assert not fails_too_often(10, 1_000)
    assert fails_too_often(100, 100)
    assert fails_too_often(8, 100)
    assert fails_too_often(40, 1_000)
    # A challenger that fails on just the share that is allowed, looked at daily.
    failed = np.random.default_rng(3).binomial(50, 0.01, (400, 60)).cumsum(axis=1)
    wrong = [any(fails_too_often(int(run[day]), 50 * (day + 1)) for day in range(1, 60)) for run in failed]
    assert np.mean(wrong) <= 0.05
