"""What a difference makes one expect, and its bounds: by hand, another way, and by what they promise over draws."""

import numpy as np
import pytest
from scipy import stats

from evergreen.judging.uncertainty import _BELIEFS, expect_mean, lower_bound, relative_to, two_sided


def test_blocks_whose_rows_go_together_by_hand():
    # The residuals sum to -0.2 and 0.2 by block: the variance is 2/1 * 0.08 / 4**2 = 0.01, above that of single rows,
    # 0.04 / 3 / 4.
    seen = expect_mean(np.array([0.1, 0.1, 0.3, 0.3]), np.array(["a", "a", "b", "b"]))
    assert (seen.mean, seen.error, seen.blocks) == (pytest.approx(0.2), pytest.approx(0.1), 2)
    assert seen.ends == (pytest.approx(0.2 - 0.1959964), pytest.approx(0.2 + 0.1959964))


@pytest.mark.parametrize("blocks", [["a", "a", "b", "b"], ["a", "a", "a", "a"]])
def test_rows_that_differ_within_their_block_count_as_single_ones(blocks):
    # The blocks' residuals cancel, or there is one block: the variance is that of rows, 0.16 / 3 / 4.
    seen = expect_mean(np.array([0.0, 0.4, 0.0, 0.4]), np.array(blocks))
    assert seen.error == pytest.approx((0.04 / 3) ** 0.5)


@pytest.mark.parametrize("mean", [-0.2, -0.03, 0.01, 0.08, 0.3])
@pytest.mark.parametrize("noise", [0.1, 0.6])
def test_what_is_expected_is_the_mean_of_what_is_still_possible(mean, noise):
    random = np.random.default_rng(1)
    seen = expect_mean(mean + random.normal(0, noise, 120), np.repeat(np.arange(3), 40))
    # The same by adding up, over all differences that are possible, what was believed times likelihood.
    possible = np.linspace(-1.5, 1.5, 300_001)
    believed = sum(chance * stats.norm.pdf(possible, 0, spread) for chance, spread in _BELIEFS)
    weights = believed * stats.norm.pdf(seen.mean, possible, seen.error)
    weights /= weights.sum()
    assert seen.expected == pytest.approx(float(weights @ possible), abs=1e-6)
    assert seen.negative == pytest.approx(float(weights[possible < 0].sum()), abs=1e-3)


def test_a_small_difference_is_taken_for_noise_and_a_large_one_for_what_it_is():
    rows = np.random.default_rng(2).normal(0, 0.3, 400)
    rows, blocks = rows - rows.mean(), np.repeat(np.arange(4), 100)
    kept = [expect_mean(rows + mean, blocks).expected / mean for mean in (0.01, 0.05, 0.2, 50.0)]
    assert kept == sorted(kept)
    assert kept[0] < 0.5
    assert kept[2:] == pytest.approx([1, 1], abs=0.05)


def test_one_row_and_no_difference_tell_nothing():
    one = expect_mean(np.array([0.3]), np.array(["a"]))
    assert (one.mean, one.expected, one.negative, one.ends) == (0.3, 0, 0.5, (float("-inf"), float("inf")))
    none = expect_mean(np.zeros(6), np.repeat(["a", "b"], 3))
    assert (none.expected, none.negative) == (0, 0.5)


def test_differences_without_noise_are_believed():
    for sign, negative in ((1, 0), (-1, 1)):
        seen = expect_mean(np.full(8, sign * 0.25), np.repeat(np.arange(4), 2))
        assert (seen.expected, seen.negative) == (pytest.approx(sign * 0.25), negative)


def test_a_block_weighs_as_its_rows_do():
    random = np.random.default_rng(2)
    differences = np.concatenate([random.normal(0.1, 0.2, 600), np.full(5, -0.5)])
    blocks = np.repeat(np.arange(4), [200, 200, 200, 5])
    seen = expect_mean(differences, blocks)
    assert seen.mean == pytest.approx(differences.mean())
    assert seen.expected > 0.08
    # Were each block to count once, five rows would turn it round.
    assert lower_bound(differences, blocks, 0.95).mean < 0


def test_over_many_challengers_what_is_expected_comes():
    random, blocks = np.random.default_rng(3), np.repeat(np.arange(4), 50)
    chances, spreads = zip(*_BELIEFS, strict=True)
    truths = random.normal(0, random.choice(spreads, 3000, p=chances))
    seen = [expect_mean(random.normal(truth, 0.5, 200), blocks) for truth in truths]
    promising = np.array([one.expected > 0.01 for one in seen])
    expected, negative = (
        np.array([getattr(one, name) for one in seen])[promising] for name in ("expected", "negative")
    )
    # The larger of two standard errors is cautious, and no more than that.
    assert 0.7 * truths[promising].mean() < expected.mean() < truths[promising].mean() + 0.005
    assert negative.mean() == pytest.approx((truths[promising] < 0).mean(), abs=0.06)


def test_shares_are_of_each_blocks_own_level():
    base, blocks = np.repeat([1.0, 1.0, 100.0], [50, 50, 20]), np.repeat(["a", "b", "c"], [50, 50, 20])
    assert relative_to(0.1 * base, base, blocks) == pytest.approx(np.full(120, 0.1))


def test_a_block_that_was_easy_or_perfect_does_not_explode():
    # Levels of 2 and 0: the second counts as a tenth of the middle one, which is 2.
    base, blocks = np.repeat([2.0, 2.0, 0.0], [300, 300, 1]), np.repeat(["a", "b", "c"], [300, 300, 1])
    assert relative_to(np.full(601, -0.1), base, blocks)[[0, -1]] == pytest.approx([-0.1 / 2, -0.1 / 0.2])
    assert np.isfinite(relative_to(np.array([-1.0, 0.0]), np.zeros(2), np.array(["a", "a"]))).all()


def test_a_bound_by_hand_counts_each_block_once():
    differences = np.array([1.0, 3.0, 3.0, 3.0, 3.0, 2.0, 2.0])
    blocks = np.array(["a", "b", "b", "b", "b", "c", "c"])
    # The means of the blocks are 1, 3 and 2: their mean is 2, their standard deviation 1. Student's t at 95 % with 2
    # degrees of freedom is 2.919986.
    interval = lower_bound(differences, blocks, 0.95)
    assert (interval.mean, interval.blocks) == (pytest.approx(2.0), 3)
    assert interval.lower == pytest.approx(2 - 2.919986 / 3**0.5, abs=1e-6)


def test_the_order_of_rows_and_the_names_of_blocks_do_not_matter():
    random = np.random.default_rng(2)
    differences, blocks = random.normal(0, 1, 60), random.integers(0, 5, 60)
    order = random.permutation(60)
    names = np.array([f"2024-01-0{9 - b}" for b in blocks])[order]
    before, after = lower_bound(differences, blocks, 0.95), lower_bound(differences[order], names, 0.95)
    assert (after.lower, after.mean) == (pytest.approx(before.lower), pytest.approx(before.mean))
    before, after = expect_mean(differences, blocks), expect_mean(differences[order], names)
    assert (after.expected, after.error) == (pytest.approx(before.expected), pytest.approx(before.error))


def test_one_block_proves_nothing():
    interval = lower_bound(np.array([5.0, 5.1, 5.2]), np.array(["a", "a", "a"]), 0.95)
    assert (interval.lower, interval.blocks, interval.mean) == (float("-inf"), 1, pytest.approx(5.1))


@pytest.mark.parametrize("within", [0.0, 0.9], ids=lambda share: f"{share:.0%} of the variance by block")
@pytest.mark.parametrize("sizes", [(50,) * 4, (50,) * 2, (8, 8, 8, 160)], ids=str)
def test_the_bound_lies_above_the_true_mean_as_seldom_as_promised(sizes, within):
    random = np.random.default_rng(4)
    blocks = np.repeat(np.arange(len(sizes)), sizes)
    above = 0
    for _ in range(2000):
        shared = random.normal(0, within**0.5, len(sizes))[blocks]
        above += lower_bound(shared + random.normal(0, (1 - within) ** 0.5, len(blocks)), blocks, 0.95).lower > 0
    assert 0.03 * 2000 <= above <= 0.07 * 2000


def test_both_ends_miss_half_each():
    random = np.random.default_rng(6)
    differences, blocks = random.normal(0.3, 1, 60), np.repeat(np.arange(6), 10)
    both = two_sided(differences, blocks, 0.95)
    means = differences.reshape(6, 10).mean(axis=1)
    expected = stats.t.interval(0.95, 5, means.mean(), means.std(ddof=1) / 6**0.5)
    assert (both.lower, both.upper) == pytest.approx(expected)
    assert two_sided(differences[:5], blocks[:5], 0.95).upper == float("inf")
