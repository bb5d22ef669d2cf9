"""The interval: by hand, and by what it promises over many draws."""

import numpy as np
import pytest
from scipy import stats

from include.judging.interval import lower_bound, two_sided


def test_by_hand():
    differences = np.array([1.0, 3.0, 2.0, 4.0, 0.0, 2.0])
    blocks = np.array(["a", "a", "b", "b", "c", "c"])
    # The mean is 2; the residuals sum to 0, 2 and -2 by block, so the variance is 3/2 * (0 + 4 + 4) / 6**2 = 1/3.
    # Student's t at 95 % with 2 degrees of freedom is 2.919986.
    interval = lower_bound(differences, blocks, 0.95)
    assert (interval.mean, interval.blocks) == (2.0, 3)
    assert interval.lower == pytest.approx(2 - 2.919986 / 3**0.5, abs=1e-6)


def test_blocks_of_equal_size_give_the_t_interval_of_their_means():
    random = np.random.default_rng(1)
    means = random.normal(0.5, 1, 6)
    noise = random.normal(0, 3, (6, 40))
    rows = (means[:, None] + noise - noise.mean(axis=1, keepdims=True)).ravel()
    expected = means.mean() - stats.t.ppf(0.9, 5) * means.std(ddof=1) / 6**0.5
    assert lower_bound(rows, np.repeat(np.arange(6), 40), 0.9).lower == pytest.approx(expected)


def test_each_block_counts_once():
    differences = np.array([1.0, 3.0, 3.0, 3.0, 3.0, 2.0, 2.0])
    blocks = np.array(["a", "b", "b", "b", "b", "c", "c"])
    # The means of the blocks are 1, 3 and 2: their mean is 2, their standard deviation 1.
    interval = lower_bound(differences, blocks, 0.95)
    assert interval.mean == pytest.approx(2.0)
    assert interval.lower == pytest.approx(2 - 2.919986 / 3**0.5, abs=1e-6)


def test_the_order_of_rows_and_the_names_of_blocks_do_not_matter():
    random = np.random.default_rng(2)
    differences, blocks = random.normal(0, 1, 60), random.integers(0, 5, 60)
    order = random.permutation(60)
    before = lower_bound(differences, blocks, 0.95)
    after = lower_bound(differences[order], np.array([f"2024-01-0{9 - b}" for b in blocks])[order], 0.95)
    assert after.lower == pytest.approx(before.lower)
    assert after.mean == pytest.approx(before.mean)


def test_more_confidence_asks_for_more():
    random = np.random.default_rng(3)
    differences, blocks = random.normal(1, 1, 80), np.repeat(np.arange(4), 20)
    lowers = [lower_bound(differences, blocks, confidence).lower for confidence in (0.6, 0.8, 0.95, 0.99)]
    assert lowers == sorted(lowers, reverse=True)
    assert lower_bound(differences, blocks, 0.5).lower == pytest.approx(np.mean(differences))


def test_one_block_says_nothing():
    interval = lower_bound(np.array([5.0, 5.1, 5.2]), np.array(["a", "a", "a"]), 0.95)
    assert (interval.lower, interval.blocks) == (float("-inf"), 1)
    assert interval.mean == pytest.approx(5.1)


def test_differences_without_noise_are_sure():
    interval = lower_bound(np.full(8, 0.3), np.repeat(np.arange(4), 2), 0.95)
    assert interval.lower == pytest.approx(0.3)


@pytest.mark.parametrize("within", [0.0, 0.3, 0.9], ids=lambda share: f"{share:.0%} of the variance by block")
@pytest.mark.parametrize("sizes", [(50,) * 4, (50,) * 2, (30, 50, 70, 50), (8, 8, 8, 160)], ids=str)
def test_the_bound_lies_above_the_true_mean_as_seldom_as_promised(sizes, within):
    random = np.random.default_rng(4)
    blocks = np.repeat(np.arange(len(sizes)), sizes)
    above = 0
    for _ in range(2000):
        shared = random.normal(0, within**0.5, len(sizes))[blocks]
        above += lower_bound(shared + random.normal(0, (1 - within) ** 0.5, len(blocks)), blocks, 0.95).lower > 0
    assert 0.03 * 2000 <= above <= 0.07 * 2000


def test_rows_that_go_together_count_less_than_rows_that_do_not():
    random = np.random.default_rng(5)
    blocks = np.repeat(np.arange(4), 100)
    apart = random.normal(0.2, 1, 400)
    together = random.normal(0.2, 1, 4)[blocks]
    assert lower_bound(together, blocks, 0.95).lower < lower_bound(apart, blocks, 0.95).lower


def test_both_ends_miss_half_each():
    random = np.random.default_rng(6)
    differences, blocks = random.normal(0.3, 1, 60), np.repeat(np.arange(6), 10)
    both = two_sided(differences, blocks, 0.95)
    assert both.lower == lower_bound(differences, blocks, 0.975).lower
    assert both.upper == pytest.approx(-lower_bound(-differences, blocks, 0.975).lower)
    means = differences.reshape(6, 10).mean(axis=1)
    expected = stats.t.interval(0.95, 5, means.mean(), means.std(ddof=1) / 6**0.5)
    assert (both.lower, both.upper) == pytest.approx(expected)
    assert two_sided(differences[:5], blocks[:5], 0.95).upper == float("inf")
