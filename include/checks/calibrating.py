"""Which distance is no drift: from resamples of the reference, and from how its own batches lie apart."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from include.checks.divergences import FLOORS, SQUARED, Comparison

# One false alarm in two hundred batches, for all columns together: real batches have heavier tails than the theory's
# normal ones, and one in a hundred is what is promised.
LEVEL = 0.995
_DRAWS = 1000
_FEWEST_BATCHES = 5
_SHUFFLES = 400
_MOVES = 0.95


@dataclass(frozen=True)
class Cells:
    """One column of a reference, or its missing share, as counts.

    :param name: the measure.
    :param counts: (batches, cells) how often each value occurs in each batch, in the order of time.
    :param compare: the measure on counts.
    :param rows: of the batches that are to be judged, as far as they hold a value.
    """

    name: str
    counts: np.ndarray
    compare: Comparison
    rows: int

    @property
    def power(self) -> int:
        """Raised to this, what sampling and what batches add to a distance is their sum."""
        return 1 if self.name in SQUARED else 2


@dataclass(frozen=True)
class Limits:
    """The largest distance of a column that is no drift.

    :param noise: what sampling alone explains, at the rows that it was drawn at.
    :param spread: what batches lie apart beyond it, whatever their rows.
    :param growth: how much further a batch may lie for each batch that the champion ages (a squared one by its root).
    """

    noise: float
    spread: float = 0.0
    growth: float = 0.0


def calibrate(columns: dict[str, Cells], seed: int) -> dict[str, Limits]:
    """Limits that all columns of an unchanged batch keep together in 199 of 200 cases.

    Sampling: a resample of the batch's size against a resample of the reference, which is a sample itself. The 99.5th
    percentiles of the columns are widened together by the 99.5th percentile of the largest ratio in a draw.

    Batches: each of the reference's own against all others (leave one out). What they lie apart beyond sampling is one
    variance known from few batches, so it is multiplied by Student's t at one less than their number, at the level that
    Šidák (1967, JASA 62) gives each column.

    :param seed: of the resamples.
    """
    random = np.random.default_rng(seed)
    drawn = {name: _draw(one, random) for name, one in columns.items()}
    limits = {name: max(float(np.quantile(seen, LEVEL)), 1e-6) for name, seen in drawn.items()}
    # What stays below its floor alarms nobody: two missing values where one is rare are no reason to widen the rest.
    widest = np.max([drawn[name] / max(limit, FLOORS[columns[name].name]) for name, limit in limits.items()], axis=0)
    widen = max(1.0, float(np.quantile(widest, LEVEL)))
    level = LEVEL ** (1 / len(columns))
    return {
        name: Limits(limits[name] * widen, _spread(one, drawn[name], level, random), _growth(one, random))
        for name, one in columns.items()
    }


def shrink(rows: int, at: int, reference: int | None) -> float:
    """How much of the variance of sampling at some rows is left at others.

    :param reference: rows of the reference, whose own noise no batch takes away; None for not known.
    """
    fixed = 1 / reference if reference else 0.0
    return (1 / max(rows, 1) + fixed) / (1 / max(at, 1) + fixed)


def _draw(one: Cells, random: np.random.Generator) -> np.ndarray:
    """Distances of resamples from resamples (draws,)."""
    total = one.counts.sum(axis=0).astype(float)
    if not total.sum() or not one.rows:
        return np.zeros(_DRAWS)
    # A value that never was missing may be: Laplace's rule of succession.
    shares = total + 1 if one.name == "missing" else total
    shares = shares / shares.sum()
    references = random.multinomial(int(total.sum()), shares, _DRAWS)
    return one.compare(references, random.multinomial(one.rows, shares, _DRAWS))


def _spread(one: Cells, drawn: np.ndarray, level: float, random: np.random.Generator) -> float:
    counts, sizes = _whole_batches(one)
    if len(counts) < _FEWEST_BATCHES:
        return 0.0
    rest = counts.sum(axis=0) - counts
    apart = one.compare(rest, counts) ** one.power
    noise = drawn**one.power
    left = np.mean([shrink(int(n), one.rows, int(m)) for n, m in zip(sizes, rest.sum(axis=1), strict=True)])
    # What is taken off for sampling is the least it may be: by chance few batches lie closer together than later ones.
    least = float(np.quantile(random.choice(noise, (_DRAWS, len(counts))).mean(axis=1), 0.05))
    beyond = max(0.0, float(apart.mean()) - least * float(left))
    return float((stats.t.ppf((1 + level) / 2, len(counts) - 1) ** 2 * beyond) ** (1 / one.power))


def _growth(one: Cells, random: np.random.Generator) -> float:
    """How fast a column moves that moves with time already within the reference; 0 for all others.

    Its first half lies further from its second than 95 in 100 halves of shuffled batches do from each other; the
    middles of the halves are half its batches apart.
    """
    counts, _ = _whole_batches(one)
    half = len(counts) // 2
    if half < 3:
        return 0.0
    halves = np.zeros((_SHUFFLES + 1, len(counts)))
    halves[0, :half] = 1
    for i in range(1, _SHUFFLES + 1):
        halves[i, random.permutation(len(counts))[:half]] = 1
    apart = one.compare(halves @ counts, (1 - halves) @ counts) ** (one.power / 2)
    limit = float(np.quantile(apart[1:], _MOVES))
    return float((apart[0] + limit) / (len(counts) / 2)) if apart[0] > limit else 0.0


def _whole_batches(one: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Batches with at least a quarter of a typical batch's values; late labels leave others with a handful of rows."""
    sizes = one.counts.sum(axis=1)
    kept = sizes >= max(1.0, float(np.median(sizes)) / 4)
    return one.counts[kept], sizes[kept]
