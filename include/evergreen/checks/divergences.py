"""How far a batch lies from a reference: six measures, for each of which larger means further.

Values are Evidently's own where it reports a distance, but for the bins of numbers. Where it reports a p-value
(Kolmogorov-Smirnov, chi-square), the statistic behind it is taken: a p-value says how sure a difference is, not how
large, and falls with every row.

For PSI, Kullback-Leibler and Jensen-Shannon of numbers Evidently has Sturges' bins of equal width, from the least to
the largest value of both sides. One value far out makes them so wide that all others share one, and hides any shift.
Bins here are the reference's deciles, and its outer hundredths, which see a tail grow. The first and the last are open:
what lies beyond counts by its rows, not by how far out it is. They are the same for each batch and in the calibration.
Numbers of few values are compared one by one, as Evidently has it.

Wasserstein counts by how far out a value is. What lies beyond all measure (see ``within_reach``) counts as if it lay
at the end of it: else one such value in the reference makes its standard deviation so large that no shift shows, and
one in a batch is an alarm of its own.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from evergreen.features.histograms import Categories, Numbers

# Sizes below which a difference is of no interest, however sure it is.
FLOORS = {
    "wasserstein": 0.1,
    "ks": 0.05,
    "psi": 0.1,
    "kl": 0.1,
    "jensenshannon": 0.1,
    "chisquare": 0.1,
    "missing": 0.1,
}
# Sizes from which a limit says nothing: what a shift of two standard deviations makes of a normal column, when half the
# rows lie outside the reference's middle 95 %. Where such a batch would pass unseen, no one was watching. A share of
# missing values: half of the rows.
LARGEST = {
    "wasserstein": 2.0,
    "ks": 0.68,
    "psi": 3.7,
    "kl": 2.0,
    "jensenshannon": 0.57,
    "chisquare": 3.8,
    "missing": 0.5,
}
# Those that grow as the square of a shift; the others grow as the shift itself.
SQUARED = ("psi", "kl")
# Evidently's: a number with no more values than this is compared value by value.
_FEW_VALUES = 20
# A number with more values than this is calibrated in about as many cells.
_CELLS = 200
# So many times the span of the reference's middle 98 % a value may lie beyond it and still count by its distance.
_REACH = 5
# The shares of the reference that lie below the edges of bins.
_BINS = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)

# Of two groups of counts (…, cells), the distances (…,).
Comparison = Callable[[np.ndarray, np.ndarray], np.ndarray]


def measure(name: str, described: dict[str, Any], seen: Numbers | Categories) -> float:
    """Distance of values from a described column; 0 where one side has nothing to compare.

    ``wasserstein``: area between the distributions, in standard deviations of the reference. ``ks``: the largest gap
    between them. ``psi``, ``kl`` (nats), ``jensenshannon`` (its root): between shares, of numbers in bins of
    the reference. ``chisquare``: the root of chi-square over rows, Cohen's w (Cohen 1988, Statistical Power Analysis,
    ch. 7).

    :param described: ``counts`` of categories, or ``quantiles`` of numbers.
    :param seen: of a batch.
    """
    if isinstance(seen, Categories):
        before = described["counts"]
        return float(_of_counts(name)(*seen.align(before))) if before and seen.counts else 0.0
    points, counts = np.asarray(described["quantiles"], float), seen.counts
    if not len(points) or not len(counts):
        return 0.0
    drawn = within_reach(points, points)
    # Both in the same cells: what lies in one of them counts as equal.
    learnt, numbers = within_reach(points, seen.round(points)), within_reach(points, seen.values)
    if name in ("wasserstein", "ks"):
        grid = np.sort(np.concatenate([learnt, numbers]))
        below = np.append(0, np.cumsum(counts))
        now = below[np.searchsorted(numbers, grid, side="right")] / below[-1]
        then = np.searchsorted(learnt, grid, side="right") / len(learnt)
        return float(_of_gaps(name, grid, spread_of(drawn))(then - now))
    edges = bin_edges(drawn)
    if edges is None:
        edges = np.union1d(learnt, numbers)[:-1]
    return float(_of_counts(name)(_count_bins(learnt, edges), _count_bins(numbers, edges, counts)))


def find_reach(points: np.ndarray) -> tuple[float, float]:
    """Between which values one counts by its distance; infinite where the middle of the reference is one value.

    :param points: (points,) the sorted quantiles of a reference.
    """
    low, high = points[np.round(np.array([0.01, 0.99]) * (len(points) - 1)).astype(int)].tolist()
    # In halves, for the span of finite numbers may be infinite.
    beyond = 2 * _REACH * (high / 2 - low / 2)
    return (low - beyond, high + beyond) if beyond > 0 else (-np.inf, np.inf)


def within_reach(points: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values with those far out drawn in: five times the span of the reference's middle 98 % beyond it.

    Of a normal reference that is 26 standard deviations from its mean. Where that middle is one value, nothing is.

    :param points: (points,) the sorted quantiles of a reference.
    :param values: (values,)
    """
    drawn: np.ndarray = np.clip(values, *find_reach(points))
    return drawn


def find_cells(points: np.ndarray) -> np.ndarray:
    """The values (cells,) that stand for cells of the calibration, each of which holds what lies nearest to it.

    :param points: (points,) the sorted quantiles of a reference.
    """
    values = np.unique(points)
    return values if len(values) <= _CELLS else np.unique(points[:: max(1, len(points) // _CELLS)])


def cell_bounds(cells: np.ndarray) -> np.ndarray:
    """Where cells meet (cells - 1,); a value on a bound is of the lower one."""
    bounds: np.ndarray = cells[1:] / 2 + cells[:-1] / 2
    return bounds


def bin_edges(points: np.ndarray) -> np.ndarray | None:
    """Edges (edges,) of the bins that numbers are compared in, the first and the last open; some bounds of cells.

    :param points: (points,) the sorted quantiles of a reference.
    :returns: None for few values, which are compared one by one.
    """
    if len(np.unique(points)) <= _FEW_VALUES:
        return None
    cells = find_cells(points)
    at = np.searchsorted(cells, points[np.round(np.array(_BINS) * (len(points) - 1)).astype(int)])
    # A value that more than a bin's share of rows have is a bin of its own: an edge on either side.
    common = at[1:][at[1:] == at[:-1]]
    after = np.unique(np.concatenate([at, common - 1]))
    edges: np.ndarray = cell_bounds(cells)[after[(after >= 0) & (after < len(cells) - 1)]]
    return edges


def compare_cells(name: str, points: np.ndarray | None, scale: float, edges: np.ndarray | None = None) -> Comparison:
    """The same measure, of many samples at once, each as the number of its values in each cell.

    :param points: the value that each cell stands for; None for categories.
    :param scale: the standard deviation of the reference.
    :param edges: of the bins; None where each cell is one.
    """
    if points is not None and name in ("wasserstein", "ks"):
        of_gaps = _of_gaps(name, points, scale)
        return lambda one, other: of_gaps(np.cumsum(_share(one) - _share(other), axis=-1))
    counted = _of_counts(name)
    if points is None or edges is None:
        return counted
    into = np.eye(len(edges) + 1)[np.searchsorted(edges, points)]
    return lambda one, other: counted(one @ into, other @ into)


def count_categories(values: pd.Series) -> dict[str, int]:
    """How often each category occurs, by name."""
    present = values.dropna()
    counted = present.value_counts()
    counts: dict[str, int] = {}
    for name, count in zip(counted.index.astype(str), counted.to_numpy(), strict=True):
        # A category without rows is one of the column's type, not of its values.
        if count:
            counts[name] = counts.get(name, 0) + int(count)
    return dict(sorted(counts.items()))


def read_numbers(values: pd.Series) -> np.ndarray:
    """The finite numbers of a column; an infinite one is a missing one, as Evidently has it."""
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    finite: np.ndarray = numbers[np.isfinite(numbers)]
    return finite


def spread_of(points: np.ndarray) -> float:
    """The standard deviation that distances are told in; Evidently's least is 0.001."""
    return max(float(np.std(points)), 0.001)


def _count_bins(values: np.ndarray, edges: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    counted: np.ndarray = np.bincount(np.searchsorted(edges, values), counts, minlength=len(edges) + 1).astype(float)
    return counted


def _of_gaps(name: str, points: np.ndarray, scale: float) -> Callable[[np.ndarray], np.ndarray]:
    """Of gaps between two distribution functions at points (…, points)."""
    if name == "ks":
        return lambda gaps: np.abs(gaps).max(axis=-1)
    steps = np.append(np.diff(points), 0.0)
    return lambda gaps: np.abs(gaps) @ steps / scale


def _of_counts(name: str) -> Comparison:
    return {"psi": _psi, "kl": _kl, "jensenshannon": _jensenshannon, "chisquare": _chisquare, "missing": _missing}[name]


def _psi(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    p, q = _fill(_share(one)), _fill(_share(other))
    total: np.ndarray = ((p - q) * np.log(p / q)).sum(axis=-1)
    return total


def _kl(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    p, q = _fill(_share(one)), _fill(_share(other))
    p, q = p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    total: np.ndarray = (p * np.log(p / q)).sum(axis=-1)
    return total


def _jensenshannon(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    p, q = _share(one), _share(other)
    middle = np.where(p + q > 0, (p + q) / 2, 1.0)
    total = sum((side * np.log(np.where(side > 0, side / middle, 1.0))).sum(axis=-1) for side in (p, q))
    root: np.ndarray = np.sqrt(np.maximum(total, 0.0) / 2)
    return root


def _chisquare(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    p, q = _share(one), _share(other)
    # What the reference lacks is expected as often as Evidently's PSI expects it, where its chi-square is infinite.
    root: np.ndarray = np.sqrt(((q - p) ** 2 / np.where(p > 0, p, 1e-4)).sum(axis=-1))
    return root


def _missing(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The change of a share: of those present, and so of those missing."""
    change: np.ndarray = np.abs(_share(one)[..., 0] - _share(other)[..., 0])
    return change


def _share(counts: np.ndarray) -> np.ndarray:
    shares: np.ndarray = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return shares


def _fill(shares: np.ndarray) -> np.ndarray:
    """Evidently's stand-in for an empty bin."""
    least = np.where(shares > 0, shares, np.inf).min(axis=-1, keepdims=True)
    return np.where(shares > 0, shares, np.where(least <= 1e-4, least / 1e6, 1e-4))
