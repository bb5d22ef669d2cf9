"""What a check reads of rows: how often each value of a column occurs, counted piece by piece.

Up to 10,000 rows each number is kept. Of more, numbers are counted in cells whose bounds are the reference's own
points and bins, and of each cell the mean is kept: in integers, so that pieces add up to the same in any order. Memory
does not grow with the rows, but for the names of categories.
"""

from functools import cached_property

import numpy as np
import pandas as pd

from evergreen.checks.divergences import Seen, bin_edges, count_categories, find_reach, read_numbers, spread_of
from evergreen.checks.reference import SAMPLE, Reference

# Parts of a cell that a number's place in it is told in: of 2 ** 31 rows the sum is still an integer of 64 bits.
_PARTS = 2.0**32
# Cells between two points of the reference: where both sides are nearly alike, they cross inside of cells.
_FINER = 8


class Numbers:
    """The finite numbers of a column, merged piece by piece.

    :param points: (points,) the sorted quantiles of the reference.
    """

    def __init__(self, points: np.ndarray) -> None:
        self._points = points
        self._kept: list[np.ndarray] = []
        self._count = 0
        self._is_condensed = False

    def add(self, values: pd.Series) -> int:
        """Count numbers; returns how many values are none."""
        numbers = read_numbers(values)
        self._count += len(numbers)
        if self._is_condensed:
            self._condense(numbers)
        else:
            self._kept.append(numbers)
            if self._count > SAMPLE and len(self._points):
                self._is_condensed, kept = True, np.concatenate(self._kept)
                self._kept = []
                self._condense(kept)
        return len(values) - len(numbers)

    @property
    def seen(self) -> Seen:
        """The sorted numbers, or the means of cells, and how often each occurs."""
        if not self._is_condensed:
            numbers = np.sort(np.concatenate([np.array([]), *self._kept]))
            return numbers, np.ones(len(numbers), dtype=np.int64)
        low, high = self._grid[:-1] / 2, self._grid[1:] / 2
        parts = self._places / np.maximum(self._between, 1) / _PARTS
        values = np.concatenate([self._grid, 2 * (low + parts * (high - low))])
        counts = np.concatenate([self._at, self._between])
        order = np.argsort(values, kind="stable")
        order = order[counts[order] > 0]
        return values[order], counts[order]

    @cached_property
    def _grid(self) -> np.ndarray:
        """The bounds of cells (bounds,)."""
        edges, ends = bin_edges(self._points), np.array(find_reach(self._points))
        if np.isinf(ends).any():
            # Far out a cell is twice as wide as the one before.
            steps = np.append(spread_of(self._points) * 2.0 ** np.arange(1000), np.inf)
            steps = np.minimum(steps, np.finfo(float).max)
            ends = np.concatenate([-steps, steps])
        points = np.unique(self._points)
        finer = points[:-1, None] + np.arange(_FINER) / _FINER * np.diff(points / 2)[:, None] * 2
        grid: np.ndarray = np.unique(np.concatenate([ends, points, finer.ravel(), [] if edges is None else edges]))
        return grid

    @cached_property
    def _at(self) -> np.ndarray:
        """How many numbers lie on each bound (bounds,)."""
        return np.zeros(len(self._grid), dtype=np.int64)

    @cached_property
    def _between(self) -> np.ndarray:
        """How many lie inside each cell (bounds - 1,)."""
        return np.zeros(len(self._grid) - 1, dtype=np.int64)

    @cached_property
    def _places(self) -> np.ndarray:
        """How far inside they lie, all together, in parts of the cell (bounds - 1,)."""
        return np.zeros(len(self._grid) - 1, dtype=np.int64)

    def _condense(self, numbers: np.ndarray) -> None:
        grid = self._grid
        drawn = np.sort(np.clip(numbers, grid[0], grid[-1]))
        left, right = np.searchsorted(drawn, grid, "left"), np.searchsorted(drawn, grid, "right")
        between = left[1:] - right[:-1]
        self._at += right - left
        self._between += between
        held = np.flatnonzero(between)
        if not len(held):
            return
        is_inside = np.ones(len(drawn), dtype=bool)
        for bound in np.flatnonzero(right > left):
            is_inside[left[bound] : right[bound]] = False
        # In halves, for a cell's width may be infinite.
        halves, low, width = drawn[is_inside] / 2, grid[held] / 2, grid[held + 1] / 2 - grid[held] / 2
        cell = np.repeat(np.arange(len(held)), between[held])
        parts = np.rint((halves - low[cell]) / width[cell] * _PARTS).astype(np.int64)
        self._places[held] += np.add.reduceat(parts, np.cumsum(between[held]) - between[held])


class Categories:
    """The categories of a column, merged piece by piece."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def add(self, values: pd.Series) -> int:
        """Count categories; returns how many values are none."""
        for name, count in count_categories(values).items():
            self.seen[name] = self.seen.get(name, 0) + count
        return int(values.isna().sum())


class EvenSample:
    """At most 10,000 of rows that come in pieces, evenly from first to last."""

    def __init__(self) -> None:
        self._kept: list[pd.DataFrame] = []
        self._rows, self._stride = 0, 1

    def add(self, rows: pd.DataFrame) -> None:
        """Take rows in."""
        self._kept.append(rows.set_axis(range(self._rows, self._rows + len(rows))))
        self._rows += len(rows)
        while True:
            self._kept = [kept[kept.index % self._stride == 0] for kept in self._kept]
            if sum(map(len, self._kept)) <= SAMPLE:
                return
            self._stride *= 2

    @property
    def rows(self) -> pd.DataFrame:
        """The rows of the sample; without a column where there are none."""
        return pd.concat(self._kept) if self._kept else pd.DataFrame()


class Tallies:
    """What is known of some rows, to be held against a reference.

    :param reference: what it describes is counted.
    :param event_time: column of the event time; None where the rows have none.
    :ivar rows: that were added.
    :ivar columns: by the reference's columns that the rows have.
    """

    def __init__(self, reference: Reference, event_time: str | None = None) -> None:
        self.rows = 0
        self.columns: dict[str, Numbers | Categories] = {}
        self._reference, self._event_time = reference, event_time
        self._missing: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._followed = [name for name, described in reference.columns.items() if described.get("follows")]
        self._some = EvenSample()

    def add(self, rows: pd.DataFrame, batch: str = "") -> None:
        """Count rows of one batch."""
        for name, described in self._reference.columns.items():
            if name not in rows:
                continue
            if name not in self.columns:
                counted = "counts" in described
                self.columns[name] = Categories() if counted else Numbers(np.asarray(described["quantiles"], float))
            self._missing[name] = self._missing.get(name, 0) + self.columns[name].add(rows[name])
        if self._followed and self._event_time in rows:
            self._some.add(rows[[self._event_time, *(name for name in self._followed if name in rows)]])
        self._sizes[batch] = self._sizes.get(batch, 0) + len(rows)
        self.rows += len(rows)

    @property
    def some_rows(self) -> pd.DataFrame:
        """Event time and the columns that follow it, of at most 10,000 rows."""
        return self._some.rows

    def share_missing(self, name: str) -> float:
        """The share of rows without a value, an infinite number being none."""
        return self._missing[name] / self.rows if self.rows else 0.0

    @property
    def batches(self) -> float:
        """So many batches of equal size average out as much (Kish 1965, Survey Sampling, 11.7)."""
        sizes = np.array(list(self._sizes.values()))
        return float(sizes.sum() ** 2 / (sizes**2).sum()) if sizes.sum() else 1.0
