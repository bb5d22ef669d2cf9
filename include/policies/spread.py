"""How far the mean losses of label batches scatter where nothing changes."""

import numpy as np

# Below so many batches three differences are not there, and a scatter between batches would be taken for a change.
FEWEST = 4
# Median of chi-square with one degree of freedom.
_MEDIAN = 0.4549


def find_spread(losses: tuple[np.ndarray, ...]) -> tuple[float, float]:
    """The variance of a row's loss, and by how much the means of batches scatter more than rows drawn apart would.

    The scatter is taken from differences of successive means, which a change of level moves once only (von Neumann,
    Distribution of the ratio of the mean square successive difference to the variance, Annals of Mathematical
    Statistics 12, 1941), each over what its two batches' rows alone would give; of these the median, so that a few
    changes do not hide themselves. It is the design effect of survey sampling (Kish, Survey Sampling, 1965): so many
    rows of a batch tell as much as one row drawn apart from all others. Where batches have hardly more than a row, only
    their means say how far losses scatter.

    :param losses: of each batch (n,), oldest first, at least two batches.
    :returns: the variance within batches, and the design effect, 1 or more.
    """
    rows = np.array([len(batch) for batch in losses])
    means = np.array([batch.mean() for batch in losses])
    within = sum(float(((batch - mean) ** 2).sum()) for batch, mean in zip(losses, means, strict=True))
    apart = float(np.median(np.diff(means) ** 2 / (1 / rows[1:] + 1 / rows[:-1]))) / _MEDIAN
    inside = int((rows - 1).sum())
    if inside < len(rows):
        return apart, 1.0
    variance = within / inside
    return variance, max(1.0, apart / variance) if variance else 1.0
