"""Two arms on live traffic: what their losses tell, as often as one looks."""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincc, betaln

from evergreen.records import Comparison

# What all looks together may err, in either direction.
ALPHA = 0.05
# Of the rows that a challenger is asked for, the share that it may fail on.
_MAY_FAIL = 0.01


@dataclass(frozen=True)
class _Differences:
    """The difference of two arms in each block.

    :param weights: (blocks,) what each is worth, in rows.
    :param gains: (blocks,) by how much the challenger's mean loss is lower, relative to that of both.
    :param variances: (blocks,) of these.
    """

    weights: np.ndarray
    gains: np.ndarray
    variances: np.ndarray


def fails_too_often(failed: int, asked: int) -> bool:
    """Whether a challenger fails on more than one row of a hundred, beyond doubt at all looks together.

    The likelihood ratio against that share, mixed evenly over all larger ones, is a supermartingale where the share is
    no larger; it comes to 1 / alpha with a probability of alpha at most (Ville's inequality; the mixture is Robbins').

    :param failed: rows of those that it was asked for.
    """
    answered = asked - failed
    beyond = betaln(failed + 1, answered + 1) + np.log(betaincc(failed + 1, answered + 1, _MAY_FAIL))
    allowed = np.log1p(-_MAY_FAIL) * (answered + 1) + np.log(_MAY_FAIL) * failed
    return bool(beyond - allowed >= -np.log(ALPHA))


def compare_pairs(
    old: np.ndarray,
    new: np.ndarray,
    blocks: np.ndarray,
    tuned: int,
    alpha: float = ALPHA,
    scale: float | None = None,
) -> Comparison | None:
    """Compare two versions that have answered the same rows.

    :param old: (n,) losses of the champion.
    :param new: (n,) losses of the challenger.
    :param blocks: (n,) the decision under which each row was answered.
    :param tuned: rows at which the interval is tightest.
    :param alpha: what all looks together may err.
    :param scale: what differences are relative to; None for the mean loss of both in each block.
    :returns: None where no block has two rows.
    """
    _, index, counts = np.unique(blocks, return_inverse=True, return_counts=True)
    levels = _levels((_means(index, old, counts) + _means(index, new, counts)) / 2, scale)
    gains = (old - new) / levels[index]
    means, variances = _moments(index, gains, counts)
    kept = counts > 1
    return _conclude(_Differences(counts[kept], means[kept], variances[kept] / counts[kept]), tuned, alpha)


def compare_groups(
    old: np.ndarray,
    old_blocks: np.ndarray,
    new: np.ndarray,
    new_blocks: np.ndarray,
    tuned: int,
    alpha: float = ALPHA,
    scale: float | None = None,
) -> Comparison | None:
    """Compare two versions that have answered different rows, which a hash of their keys has dealt out.

    Blocks are compared one by one: within one both had the same day, and the same shares.

    :param old: (n,) losses of the champion; ``old_blocks`` the decision under which each row was answered.
    :param new: (m,) losses of the challenger, with ``new_blocks``.
    :param tuned: rows at which the interval is tightest; ``alpha`` and ``scale`` as of pairs.
    :returns: None where no block has two rows of either arm.
    """
    index = np.unique(np.concatenate([old_blocks, new_blocks]), return_inverse=True)[1]
    size = int(index.max(initial=-1)) + 1
    own, others = index[: len(old)], index[len(old) :]
    n, m = np.bincount(own, minlength=size), np.bincount(others, minlength=size)
    kept = (n > 1) & (m > 1)
    levels = _levels(_means(index, np.concatenate([old, new]), n + m), scale)
    (old_means, old_variances), (new_means, new_variances) = _moments(own, old, n), _moments(others, new, m)
    n, m, levels = n[kept], m[kept], levels[kept]
    old_variances, new_variances = old_variances[kept], new_variances[kept]
    # A few rows of a small arm often lack the rare large loss that they may have; all rows together know more of it.
    pooled = ((n - 1) * old_variances + (m - 1) * new_variances) / (n + m - 2) * (1 / n + 1 / m)
    variances = np.maximum(old_variances / n + new_variances / m, pooled) / levels**2
    return _conclude(_Differences(n * m / (n + m), (old_means - new_means)[kept] / levels, variances), tuned, alpha)


def _conclude(found: _Differences, tuned: int, alpha: float) -> Comparison | None:
    """An interval of the mean difference that holds at all looks together.

    The boundary is Robbins' mixture of normals (Statistical Methods Related to the Law of the Iterated Logarithm,
    Annals of Mathematical Statistics 41, 1970) for sums of estimated variance, an asymptotic confidence sequence
    (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory and asymptotic confidence
    sequences, Annals of Statistics 52(6), 2024). It is about the rows that came, day by day as they were. Blocks weigh
    as their rows do, whatever the losses, so that the variance that has been gathered goes with the rows.
    """
    rows = float(found.weights.sum())
    if not rows:
        return None
    shares = found.weights / rows
    gain, variance = float(shares @ found.gains), float(shares**2 @ found.variances)
    ratio = rows / tuned
    reach = np.sqrt(variance * (1 + 1 / ratio) * np.log((1 + ratio) / alpha**2))
    return Comparison(rows=rows, improvement=gain, lower=gain - float(reach), upper=gain + float(reach))


def _moments(index: np.ndarray, values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each block; of a block without two rows neither means anything."""
    means = _means(index, values, counts)
    squares = np.bincount(index, weights=(values - means[index]) ** 2, minlength=len(counts))
    return means, squares / np.maximum(counts - 1, 1)


def _means(index: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    means: np.ndarray = np.bincount(index, weights=values, minlength=len(counts)) / np.maximum(counts, 1)
    return means


def _levels(means: np.ndarray, scale: float | None) -> np.ndarray:
    """What differences are relative to; where nobody erred there is nothing to be told."""
    return np.where(means > 0, means, 1.0) if scale is None else np.full(len(means), scale)
