"""What a difference of two models on some labels says of later ones."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

# What is believed of a challenger before anything was seen: that it is as good as the champion, by and large, or, once
# in five, that something is different. Probabilities, and standard deviations of the improvement.
_BELIEFS = ((0.8, 0.01), (0.2, 0.1))
# The same of a model by itself, with the labels of a batch more.
_BELIEFS_OF_NEWER = ((0.9, 0.005), (0.1, 0.1))
# An interval that holds the mean in 95 of 100 cases reaches so many standard errors to either side.
_REACH = float(stats.norm.ppf(0.975))
# A block's level counts as a tenth of the middle one at least: a few rows that were easy are no measure.
_LEAST = 0.1


@dataclass(frozen=True)
class MeanInterval:
    """A mean with the lower end of its interval."""

    mean: float
    lower: float
    blocks: int

    @property
    def upper(self) -> float:
        """The upper end of a two-sided interval: Student's t is symmetric."""
        return 2 * self.mean - self.lower


@dataclass(frozen=True)
class Expectation:
    """What a mean difference makes one expect.

    :param mean: as it was seen.
    :param error: its standard error.
    :param expected: what later rows are expected to show: the mean, shrunk towards 0 by its own uncertainty.
    :param negative: the probability that it is truly below 0.
    """

    mean: float
    error: float
    blocks: int
    expected: float
    negative: float

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the interval that holds the mean in 95 of 100 cases."""
        return self.mean - _REACH * self.error, self.mean + _REACH * self.error


def expect_mean(differences: np.ndarray, blocks: np.ndarray) -> Expectation:
    """What the differences of some rows make one expect of later rows.

    Each row counts once, so a block weighs as its rows do. The standard error is the larger of two: that of independent
    rows, and, from two blocks on, that of the blocks, whose rows go together (cluster-robust, Liang and Zeger,
    Biometrika 73, 1986). What is then expected is the posterior mean under a prior of two normal parts around 0, a
    narrow one and a wide one: it takes a small difference for noise, and a large one for what it is (Berger,
    Statistical Decision Theory and Bayesian Analysis, 1985, sections 4.2 and 4.7).

    :param differences: (n,) paired differences, in shares of what they are relative to.
    :param blocks: (n,) the block of each row.
    """
    _, index = np.unique(blocks, return_inverse=True)
    count, n, mean = int(index.max()) + 1, len(differences), float(np.mean(differences))
    variance = float(np.var(differences, ddof=1)) / n if n > 1 else float("inf")
    if count > 1:
        sums = np.bincount(index, weights=differences - mean)
        variance = max(variance, float(np.sum(sums**2)) / n**2 * count / (count - 1))
    return _expect(mean, variance, count)


def error_between(lower: float, upper: float) -> float:
    """The standard error that the ends of an ``Expectation`` were told with."""
    return (upper - lower) / (2 * _REACH)


def expect_pooled(means: np.ndarray, errors: np.ndarray, weights: np.ndarray) -> Expectation:
    """What newer labels were worth several times, each seen on rows of its own, makes one expect, as sure as each is.

    :param means: (n,) mean differences.
    :param errors: (n,) their standard errors.
    :param weights: (n,) what each counts, in any unit.
    """
    shares = weights / weights.sum()
    return _expect(float(shares @ means), float(shares**2 @ errors**2), len(means), _BELIEFS_OF_NEWER)


def lower_bound(differences: np.ndarray, blocks: np.ndarray, confidence: float) -> MeanInterval:
    """One-sided lower confidence bound of the mean difference, when rows come in blocks.

    Student's t on the means of the blocks, each block counting once. It holds for blocks of unequal size and noise, at
    the levels in use conservatively (Ibragimov and Mueller, t-Statistic Based Correlation and Heterogeneity Robust
    Inference, Journal of Business and Economic Statistics 28(4), 2010). A percentile bootstrap of so few blocks is far
    too narrow, and so is a variance clustered by block once one block holds most rows.

    :param differences: (n,) paired differences, one a row.
    :param blocks: (n,) the block of each row.
    :param confidence: one-sided, such as 0.95.
    """
    means = _block_means(differences, blocks)
    mean, count = float(np.mean(means)), len(means)
    if count < 2:
        return MeanInterval(mean, float("-inf"), count)
    quantile = float(stats.t.ppf(confidence, count - 1))
    return MeanInterval(mean, mean - quantile * float(np.std(means, ddof=1)) / count**0.5, count)


def relative_to(values: np.ndarray, base: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Values in shares of the mean of a base, block by block.

    :param values: (n,) one a row.
    :param base: (n,) what they are relative to.
    :param blocks: (n,) the block of each row.
    """
    _, index = np.unique(blocks, return_inverse=True)
    means = _block_means(base, blocks)
    levels = np.maximum(means, _LEAST * float(np.median(means)))
    scaled: np.ndarray = values / np.where(levels > 0, levels, 1.0)[index]
    return scaled


def two_sided(differences: np.ndarray, blocks: np.ndarray, confidence: float) -> MeanInterval:
    """Two-sided confidence interval of the mean difference: half of what it may miss lies at each end.

    :param differences: (n,) paired differences, one a row.
    :param blocks: (n,) the block of each row.
    :param confidence: of both ends together, such as 0.95.
    """
    return lower_bound(differences, blocks, (1 + confidence) / 2)


def block_mean(values: np.ndarray, blocks: np.ndarray) -> float:
    """The mean of the blocks' means: what a relative difference of ``lower_bound`` is relative to.

    :param values: (n,) one a row.
    :param blocks: (n,) the block of each row.
    """
    return float(np.mean(_block_means(values, blocks)))


def _expect(
    mean: float, variance: float, count: int, beliefs: tuple[tuple[float, float], ...] = _BELIEFS
) -> Expectation:
    """The posterior of a mean that was seen with a variance, in so many blocks."""
    if not np.isfinite(mean) or not np.isfinite(variance):
        return Expectation(mean, variance**0.5, count, 0.0, 0.5)
    if variance == 0:
        return Expectation(mean, 0.0, count, mean, float(mean < 0) + float(mean == 0) / 2)
    chances, spreads = (np.array(part) for part in zip(*beliefs, strict=True))
    kept = spreads**2 / (spreads**2 + variance)
    likely = chances * stats.norm.pdf(mean, 0, np.sqrt(spreads**2 + variance))
    # So far out that both parts have no density left, the wide one is meant.
    likely = likely / likely.sum() if likely.sum() > 0 else np.array([0.0, 1.0])
    negative = float(np.sum(likely * stats.norm.cdf(0, kept * mean, np.sqrt(kept * variance))))
    return Expectation(mean, variance**0.5, count, float(np.sum(likely * kept) * mean), negative)


def _block_means(values: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    _, index = np.unique(blocks, return_inverse=True)
    means: np.ndarray = np.bincount(index, weights=values) / np.bincount(index)
    return means
