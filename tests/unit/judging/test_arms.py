"""What two arms' losses tell: an interval that may be looked at daily, whatever the shares were."""

import numpy as np
import pytest

from evergreen.judging.arms import compare_groups, compare_pairs

DAYS, ROWS = 60, 120


def _streams(runs: int, seed: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """Heavy-tailed losses of two equal models over days that differ: (runs, days, rows), and each row's day."""
    random = np.random.default_rng(seed)
    days = np.exp(random.normal(0, 0.5, (runs, DAYS, 1)))
    return (
        random,
        days * random.lognormal(0, 1, (runs, DAYS, ROWS)),
        np.repeat(np.arange(DAYS), ROWS).reshape(DAYS, ROWS),
    )


def _looks(compared: list) -> bool:
    """Whether one of daily looks took equals for different."""
    return any(one is not None and (one.lower > 0 or one.upper < 0) for one in compared)


def test_daily_looks_at_equal_arms_err_as_seldom_as_they_say() -> None:
    runs = 200
    random, losses, days = _streams(runs, 1)
    # A canary: the challenger's share grows on the way.
    shares = np.repeat([0.05, 0.25, 0.5, 0.9], DAYS // 4)[:, None]
    own = random.random((runs, DAYS, ROWS)) < shares
    wrong = 0
    for run in range(runs):
        looks = []
        for day in range(10, DAYS, 2):
            dealt, seen, block = own[run, :day], losses[run, :day], days[:day]
            looks.append(compare_groups(seen[~dealt], block[~dealt], seen[dealt], block[dealt], 100))
        wrong += _looks(looks)
    assert wrong / runs <= 0.05


def test_daily_looks_at_equal_pairs_err_as_seldom_as_they_say() -> None:
    runs = 200
    random, losses, days = _streams(runs, 2)
    others = losses * np.exp(random.normal(0, 0.3, losses.shape) - 0.045)
    wrong = 0
    for run in range(runs):
        looks = [
            compare_pairs(losses[run, :day].ravel(), others[run, :day].ravel(), days[:day].ravel(), 100)
            for day in range(1, DAYS, 2)
        ]
        wrong += _looks(looks)
    assert wrong / runs <= 0.05


def test_a_worse_arm_is_told_within_days_and_shares_that_change_do_not_deceive() -> None:
    random = np.random.default_rng(3)
    # Bad days have many of the challenger's rows: pooled over days it would look worse than an equal champion.
    blocks = np.repeat([0, 1], 1_000)
    own = random.random(2_000) < np.where(blocks == 0, 0.1, 0.9)
    losses = np.where(blocks == 0, 1.0, 9.0) * random.lognormal(0, 0.3, 2_000)
    equal = compare_groups(losses[~own], blocks[~own], losses[own], blocks[own], 100)
    assert equal is not None
    assert losses[own].mean() > 3 * losses[~own].mean()
    assert equal.lower < 0 < equal.upper
    worse = compare_groups(losses[~own], blocks[~own], 1.5 * losses[own], blocks[own], 100)
    assert worse is not None
    assert worse.upper < 0
    better = compare_pairs(losses, 0.9 * losses, blocks, 100)
    assert better is not None
    assert better.lower > 0
    assert better.improvement == pytest.approx(0.1 / 0.95, rel=1e-6)


def test_what_cannot_be_compared_is_not() -> None:
    nothing, nowhere = np.array([]), np.array([], dtype=int)
    assert compare_groups(nothing, nowhere, nothing, nowhere, 100) is None
    assert compare_groups(np.ones(5), np.zeros(5, dtype=int), np.ones(5), np.ones(5, dtype=int), 100) is None
    assert compare_pairs(np.ones(1), np.ones(1), np.zeros(1, dtype=int), 100) is None
    perfect = compare_pairs(np.zeros(9), np.zeros(9), np.zeros(9, dtype=int), 100)
    assert perfect is not None
    assert (perfect.lower, perfect.upper) == (0, 0)
