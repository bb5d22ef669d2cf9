"""How the values of a column are spread, in bars, beside those of a reference."""

import math
from typing import Any, NamedTuple

import numpy as np

from evergreen.features.histograms import Categories

_BARS = 24
_CATEGORIES = 6
# What lies beyond these shares of either side is drawn in the outermost bars.
_DRAWN = (0.005, 0.995)


class Bar(NamedTuple):
    """A share of the batch, and of the reference where there is one.

    :param label: the category, or from where to where the numbers lie.
    :param rest: whether it stands for all categories that have no bar.
    """

    label: str
    now: float
    before: float | None
    rest: bool = False


def describe_numbers(numbers: np.ndarray, quantiles: list[float] | None) -> dict[str, Any]:
    """Ends and middle of numbers, their bars and axis, and ends and middle of the reference.

    :param numbers: (values,), as a histogram keeps them.
    :param quantiles: of the reference; None where there is none.
    """
    points = np.asarray(quantiles or [], float)
    said: dict[str, Any] = {}
    if len(points):
        said["before"] = (float(points[0]), float(np.median(points)), float(points[-1]))
    if not len(numbers):
        return said
    said |= {"least": float(numbers.min()), "middle": float(np.median(numbers)), "most": float(numbers.max())}
    edges = _find_edges(numbers, points)
    now, then = _share(numbers, edges), _share(points, edges)
    # Of few whole numbers each has a bar, whose edges lie half a step beside it.
    whole = float(edges[1] - edges[0]) == 1 and not float(edges[0] + 0.5) % 1
    labels = [
        tell_number(low + 0.5) if whole else f"{tell_number(low)} to {tell_number(high)}"
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
    said["bars"] = tuple(
        Bar(label, float(share), float(then[i]) if len(points) else None)
        for i, (label, share) in enumerate(zip(labels, now, strict=True))
    )
    half = 0.5 if whole else 0.0
    return said | {"axis": (float(edges[0]) + half, float(edges[-1]) - half)}


def _find_edges(numbers: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Edges (bars + 1,) of equal width over what both sides have but for their tails."""
    sides = [np.quantile(side, _DRAWN) for side in (numbers, points) if len(side)]
    low, high = min(side[0] for side in sides), max(side[1] for side in sides)
    whole = all((side == np.floor(side)).all() for side in (numbers, points))
    if whole and high - low < _BARS:
        return np.arange(math.floor(low), math.ceil(high) + 2) - 0.5
    if not high > low:
        return np.array([low - 0.5, high + 0.5])
    return np.linspace(low, high, _BARS + 1)


def _share(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    shares: np.ndarray = counts / max(len(values), 1)
    return shares


def count_bars(column: Categories, before: dict[str, int] | None) -> tuple[Bar, ...]:
    """The most frequent categories of either side, and what the others come to."""
    sides = (column.counts, sum(column.counts.values()) + column.rest), (before or {}, sum((before or {}).values()))
    shares = [{name: count / max(total, 1) for name, count in side.items()} for side, total in sides]
    names = sorted({*shares[0], *shares[1]}, key=lambda one: (-max(side.get(one, 0.0) for side in shares), one))
    if not names:
        return ()
    kept = names if len(names) <= _CATEGORIES else names[: _CATEGORIES - 1]
    bars = [
        Bar(name, shares[0].get(name, 0.0), shares[1].get(name, 0.0) if before is not None else None) for name in kept
    ]
    if len(kept) < len(names):
        rest = [max(0.0, 1 - sum(side.get(name, 0.0) for name in kept)) if side else 0.0 for side in shares]
        bars.append(Bar(f"{len(names) - len(kept)} others", rest[0], rest[1] if before is not None else None, True))
    return tuple(bars)


def tell_number(value: float | None) -> str:
    """A number as people read it: four digits of a small one, thousands set apart in a large one; none is empty."""
    if value is None:
        return ""
    if not math.isfinite(value) or abs(value) >= 1e15:
        return f"{value:.4g}"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 10_000 else f"{value:.4g}"
