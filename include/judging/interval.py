"""How sure an improvement is, when rows of one batch go together."""

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class MeanInterval:
    """A mean with the lower end of its one-sided interval."""

    mean: float
    lower: float
    blocks: int


def lower_bound(differences: np.ndarray, blocks: np.ndarray, confidence: float) -> MeanInterval:
    """One-sided lower confidence bound of a mean over rows that are clustered in blocks.

    The cluster-robust variance of the mean with its small-sample factor G/(G-1), and Student's t with G-1 degrees of
    freedom, G being the number of blocks (Cameron and Miller, A Practitioner's Guide to Cluster-Robust Inference,
    Journal of Human Resources 50(2), 2015, sections II and VI). A percentile bootstrap of so few blocks is far too
    narrow.

    :param differences: (n,) paired differences, one a row.
    :param blocks: (n,) the block of each row.
    :param confidence: one-sided, such as 0.95.
    """
    mean = float(np.mean(differences))
    _, index = np.unique(blocks, return_inverse=True)
    residuals = np.bincount(index, weights=differences - mean)
    count = len(residuals)
    if count < 2:
        return MeanInterval(mean, float("-inf"), count)
    variance = count / (count - 1) * float(np.sum(residuals**2)) / len(differences) ** 2
    quantile = float(stats.t.ppf(confidence, count - 1))
    return MeanInterval(mean, mean - quantile * variance**0.5, count)
