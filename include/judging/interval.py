"""How sure an improvement is, when rows of one batch go together."""

from dataclasses import dataclass

import numpy as np
from scipy import stats


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


def block_mean(values: np.ndarray, blocks: np.ndarray) -> float:
    """The mean of the blocks' means: what a relative difference of ``lower_bound`` is relative to.

    :param values: (n,) one a row.
    :param blocks: (n,) the block of each row.
    """
    return float(np.mean(_block_means(values, blocks)))


def two_sided(differences: np.ndarray, blocks: np.ndarray, confidence: float) -> MeanInterval:
    """Two-sided confidence interval of the mean difference: half of what it may miss lies at each end.

    :param differences: (n,) paired differences, one a row.
    :param blocks: (n,) the block of each row.
    :param confidence: of both ends together, such as 0.95.
    """
    return lower_bound(differences, blocks, (1 + confidence) / 2)


def _block_means(values: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    _, index = np.unique(blocks, return_inverse=True)
    means: np.ndarray = np.bincount(index, weights=values) / np.bincount(index)
    return means
