"""Which distance is no drift: from resamples of the reference, and from how its own batches lie apart."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from evergreen.checks.divergences import FLOORS, LARGEST, SQUARED, Comparison

# One false alarm in two hundred batches, for all columns together: real batches have heavier tails than the theory's
# normal ones, and one in a hundred is what is promised.
LEVEL = 0.995
# Batches that are also judged together, so that a small shift adds up.
RECENT = 3
_DRAWS = 1000
_SHUFFLES = 400
_MOVES = 0.95


@dataclass(frozen=True)
class Cells:
    """One column of a reference, or its missing share, as counts.

    :param measure: how distance is measured; ``missing`` for the share without a value.
    :param counts: (batches, cells) how often each value occurs in each batch, in the order of time.
    :param compare: the measure on counts.
    :param rows: of the batches that are to be judged, as far as they hold a value.
    """

    measure: str
    counts: np.ndarray
    compare: Comparison
    rows: int

    @property
    def power(self) -> int:
        """Raised to this, what sampling and what batches add to a distance is their sum."""
        return 1 if self.measure in SQUARED else 2


@dataclass(frozen=True)
class Limits:
    """The largest distance of a column that is no drift.

    :param noise: what sampling alone explains, at the rows that it was drawn at.
    :param spread: what a batch lies apart beyond it, whatever its rows.
    :param furthest: more than which it may not be, however unlike each other batches are.
    :param batches: whole ones, which that is known from.
    :param together: the share of ``spread``, squared, that neighbouring batches have in common: 0 for none, 1 for all.
    :param growth: how much further a batch may lie for each batch that the champion ages (a squared one by its root).
    """

    noise: float
    spread: float
    furthest: float
    batches: int
    together: float
    growth: float


@dataclass(frozen=True)
class _Beyond:
    """What the batches of a column lie apart beyond sampling.

    :param apart: (batches,) the distance of each from all others, to the column's power.
    :param mean: of those, less what sampling explains.
    :param together: as in ``Limits``.
    """

    apart: np.ndarray
    mean: float
    together: float


def calibrate(columns: dict[str, Cells], seed: int) -> dict[str, Limits]:
    """Limits that all columns of an unchanged batch keep together in 199 of 200 cases.

    Sampling: a resample of the batch's size against a resample of the reference, which is a sample itself. The 99.5th
    percentiles of the columns are widened together by the 99.5th percentile of the largest ratio in a draw.

    Batches: each of the reference's own against all others (leave one out). What they lie apart beyond sampling is one
    variance known from few batches, so it is multiplied by Student's t at one less than their number, at the level that
    Šidák (1967, JASA 62) gives each column that can raise an alarm at all.

    :param seed: of the resamples.
    """
    random = np.random.default_rng(seed)
    drawn = {name: _draw(cells, random) for name, cells in columns.items()}
    limits = {name: max(float(np.quantile(distances, LEVEL)), 1e-6) for name, distances in drawn.items()}
    # What stays below its floor alarms nobody: two missing values where one is rare are no reason to widen the rest.
    widest = np.max([drawn[name] / max(limit, FLOORS[columns[name].measure]) for name, limit in limits.items()], axis=0)
    widen = max(1.0, float(np.quantile(widest, LEVEL)))
    beyond = {name: _compare_batches(cells, drawn[name], random) for name, cells in columns.items()}
    level = LEVEL ** (1 / len(columns))
    # A column that would have to lie twice as far apart to reach its floor is none of those that share the level.
    sharing = sum(
        _widen(cells, beyond[name], level) > FLOORS[cells.measure] / 2 ** (2 / cells.power)
        for name, cells in columns.items()
    )
    level = LEVEL ** (1 / max(1, sharing))
    return {
        name: Limits(
            limits[name] * widen,
            _widen(cells, beyond[name], level),
            _furthest(cells, beyond[name]),
            len(beyond[name].apart),
            beyond[name].together,
            _growth(cells, random),
        )
        for name, cells in columns.items()
    }


def shrink(rows: int, at: int, reference: int | None) -> float:
    """How much of the variance of sampling at some rows is left at others.

    :param reference: rows of the reference, whose own noise no batch takes away; None for not known.
    """
    fixed = 1 / reference if reference else 0.0
    return (1 / max(rows, 1) + fixed) / (1 / max(at, 1) + fixed)


def _draw(cells: Cells, random: np.random.Generator) -> np.ndarray:
    """Distances of resamples from resamples (draws,)."""
    total = cells.counts.sum(axis=0).astype(float)
    if not total.sum() or not cells.rows:
        return np.zeros(_DRAWS)
    # A value that never was missing may be: Laplace's rule of succession.
    shares = total + 1 if cells.measure == "missing" else total
    shares = shares / shares.sum()
    references = random.multinomial(int(total.sum()), shares, _DRAWS)
    return cells.compare(references, random.multinomial(cells.rows, shares, _DRAWS))


def _compare_batches(cells: Cells, drawn: np.ndarray, random: np.random.Generator) -> _Beyond:
    counts, _ = _whole_batches(cells)
    apart, mean = _leave_out(cells, counts, 1, drawn, random)
    n = len(counts)
    if n < 2 * RECENT or mean <= 0:
        return _Beyond(apart, mean, 1.0)
    # Of neighbours left out together, as many variances as one batch has if they move as one, and a third if each moves
    # by itself; what the others' own mean is off comes to both.
    alone = mean / (1 + 1 / (n - 1))
    pooled = _leave_out(cells, counts, RECENT, drawn, random)[1] / alone - 1 / (n - RECENT)
    # Few batches say this roughly; half a standard error is for that.
    together = max(0.0, (RECENT * pooled - 1) / (RECENT - 1)) + 0.5 / n**0.5
    return _Beyond(apart, mean, min(1.0, float(together)))


def _leave_out(
    cells: Cells, counts: np.ndarray, width: int, drawn: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Distances of ``width`` neighbouring batches from all others, to the power, and their mean beyond noise."""
    if len(counts) <= width:
        return np.zeros(len(counts)), 0.0
    sums = np.cumsum(np.vstack([np.zeros_like(counts[:1]), counts]), axis=0)
    out = sums[width:] - sums[:-width]
    rest = counts.sum(axis=0) - out
    apart: np.ndarray = cells.compare(rest, out) ** cells.power
    sizes = zip(out.sum(axis=1), rest.sum(axis=1), strict=True)
    left = np.mean([shrink(int(n), cells.rows, int(m)) for n, m in sizes])
    # What is taken off for sampling is the least it may be: by chance few batches lie closer together than later ones.
    noise = random.choice(drawn**cells.power, (_DRAWS, len(out))).mean(axis=1)
    return apart, max(0.0, float(apart.mean()) - float(np.quantile(noise, 0.05)) * float(left))


def _widen(cells: Cells, beyond: _Beyond, level: float) -> float:
    """How far one more batch may lie."""
    if len(beyond.apart) < 2:
        return LARGEST[cells.measure]
    times = stats.t.ppf((1 + level) / 2, len(beyond.apart) - 1) ** 2
    return float((times * beyond.mean) ** (1 / cells.power))


def _furthest(cells: Cells, beyond: _Beyond) -> float:
    """Twice what the furthest batch lies apart, or where a limit says nothing: another unit warns even there."""
    largest = float(beyond.apart.max()) if len(beyond.apart) else 0.0
    return max(LARGEST[cells.measure], float((2**2 * largest) ** (1 / cells.power)))


def _growth(cells: Cells, random: np.random.Generator) -> float:
    """How fast a column moves that moves with time already within the reference; 0 for all others.

    Its first half lies further from its second than 95 in 100 halves of shuffled batches do from each other; the
    middles of the halves are half its batches apart.
    """
    counts, _ = _whole_batches(cells)
    half = len(counts) // 2
    if half < 3:
        return 0.0
    halves = np.zeros((_SHUFFLES + 1, len(counts)))
    halves[0, :half] = 1
    for i in range(1, _SHUFFLES + 1):
        halves[i, random.permutation(len(counts))[:half]] = 1
    apart = cells.compare(halves @ counts, (1 - halves) @ counts) ** (cells.power / 2)
    limit = float(np.quantile(apart[1:], _MOVES))
    return float((apart[0] + limit) / (len(counts) / 2)) if apart[0] > limit else 0.0


def _whole_batches(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Batches with at least a quarter of a typical batch's values; late labels leave others with a handful of rows."""
    sizes = cells.counts.sum(axis=1)
    kept = sizes >= max(1.0, float(np.median(sizes)) / 4)
    return cells.counts[kept], sizes[kept]
