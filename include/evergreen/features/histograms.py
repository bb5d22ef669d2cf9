"""How often each value of a column occurs, counted piece by piece, in a memory that does not grow with the rows.

Counts of parts add up to those of the whole, exactly and in any order: what is kept of the whole follows from its
values alone. So they can be kept beside each batch, and be held against a reference that is made later.
"""

import hashlib
import sys
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Up to so many numbers each one is kept; of more there are at most so many cells. As many names of categories.
EXACT = 10_000
CELLS = 4096
_SIGN = np.uint64(1 << 63)
_NONE: tuple[float, float] = (np.inf, -np.inf)


@dataclass
class Numbers:
    """The finite numbers of a column.

    The cells have fixed edges: of the bits of a float, which are in the order of the numbers, the last are left out. In
    each power of two cells are equally wide. The more different numbers there are, the more bits are left out: as few
    as leave no more than 4,096 cells with a number in them.

    :ivar missing: rows without a number, an infinite one being none.
    :ivar shift: bits that are left out; 0 where each number is kept.
    :ivar cells: (cells,) the bits that are left, sorted.
    :ivar counts: (cells,) how many numbers have them.
    :ivar ends: the smallest and the largest number; infinite where there is none.
    """

    missing: int = 0
    shift: int = 0
    cells: np.ndarray = field(default_factory=lambda: np.array([], dtype=np.uint64))
    counts: np.ndarray = field(default_factory=lambda: np.array([], dtype=np.int64))
    ends: tuple[float, float] = _NONE

    def add(self, values: pa.ChunkedArray) -> None:
        """Count values."""
        numbers = _finite(values)
        ends = (float(numbers.min()), float(numbers.max())) if len(numbers) else _NONE
        cells, counts = np.unique(_order(numbers) >> np.uint64(self.shift), return_counts=True)
        self.merge(Numbers(len(values) - len(numbers), self.shift, cells, counts, ends))

    def merge(self, other: "Numbers") -> None:
        """Count what another has counted."""
        shift = max(self.shift, other.shift)
        cells = np.concatenate([one.cells >> np.uint64(shift - one.shift) for one in (self, other)])
        counts = np.concatenate([self.counts, other.counts])
        self.missing += other.missing
        self.ends = min(self.ends[0], other.ends[0]), max(self.ends[1], other.ends[1])
        self.shift, (self.cells, self.counts) = shift, _add_up(cells, counts)
        if len(self.cells) > CELLS and self.count > EXACT:
            # Neighbours whose bits differ first at this place lie in one cell once it is left out.
            differ = self.cells[1:] ^ self.cells[:-1]
            by = int(np.partition(differ, len(differ) - CELLS)[len(differ) - CELLS]).bit_length()
            self.shift += by
            self.cells, self.counts = _add_up(self.cells >> np.uint64(by), self.counts)

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return int(self.counts.sum())

    @property
    def values(self) -> np.ndarray:
        """The number that stands for each cell (cells,), sorted: of those in it the nearest to nought."""
        return _number(self.cells, self.shift)

    def around(self, rank: int) -> tuple[float, float]:
        """Between which numbers the one of a rank lies, 0 being the smallest."""
        first = self.cells[np.searchsorted(np.cumsum(self.counts), rank, side="right")] << np.uint64(self.shift)
        ends = _number(np.array([first, first | np.uint64((1 << self.shift) - 1)]), 0)
        return float(ends[0]), float(ends[1])

    def round(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers as those that stand for their cells."""
        return _number(_order(numbers) >> np.uint64(self.shift), self.shift) if self.shift else numbers

    @property
    def points(self) -> np.ndarray:
        """The sorted numbers; of more than 10,000 as many of their quantiles."""
        if self.count <= EXACT:
            return np.repeat(self.values, self.counts)
        at = np.round(np.linspace(0, self.count - 1, EXACT)).astype(np.int64)
        quantiles: np.ndarray = self.values[np.searchsorted(np.cumsum(self.counts), at, side="right")]
        quantiles[[0, -1]] = self.ends
        return quantiles


@dataclass
class Categories:
    """The categories of a column.

    Of more than 10,000 names those with the smallest hashes are kept, which are the same whatever is counted first.

    :ivar missing: rows without a category.
    :ivar counts: by name.
    :ivar rest: rows of the names that are not kept.
    :ivar limit: no name with a larger hash is kept.
    """

    missing: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    rest: int = 0
    limit: int = sys.maxsize

    def add(self, values: pa.ChunkedArray) -> None:
        """Count values."""
        counted = pc.value_counts(values.drop_null())
        names = [str(name) for name in counted.field("values").to_pylist()]
        counts = dict(zip(names, counted.field("counts").to_pylist(), strict=True))
        self.merge(Categories(values.null_count, counts))

    def merge(self, other: "Categories") -> None:
        """Count what another has counted."""
        self.missing += other.missing
        self.rest += other.rest
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.limit = min(self.limit, other.limit)
        if len(self.counts) > EXACT:
            self.limit = min(self.limit, sorted(map(_hash, self.counts))[EXACT - 1])
        if self.limit < sys.maxsize:
            self.counts, rest = self._part(self.counts)
            self.rest += rest

    def align(self, before: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
        """Counts (names,) of a reference and of this, in one order; what is not kept here is one name."""
        kept, rest = self._part(before) if self.limit < sys.maxsize else (before, 0)
        names = sorted({*kept, *self.counts})
        sides = [[side.get(name, 0) for name in names] for side in (kept, self.counts)]
        if rest or self.rest:
            sides[0].append(rest)
            sides[1].append(self.rest)
        return np.array(sides[0], float), np.array(sides[1], float)

    def _part(self, counts: dict[str, int]) -> tuple[dict[str, int], int]:
        kept = {name: count for name, count in counts.items() if _hash(name) <= self.limit}
        return kept, sum(counts.values()) - sum(kept.values())


@dataclass
class Moments:
    """Of moments and days the first and the last.

    :ivar missing: rows without one.
    :ivar ends: in microseconds since 1970; infinite where there is none.
    """

    missing: int = 0
    ends: tuple[float, float] = _NONE

    def add(self, values: pa.ChunkedArray) -> None:
        """Count values."""
        unit = pa.timestamp("us", tz=getattr(values.type, "tz", None))
        found = pc.min_max(values.cast(unit).cast(pa.int64())).as_py()
        ends = (found["min"], found["max"]) if found["min"] is not None else _NONE
        self.merge(Moments(values.null_count, ends))

    def merge(self, other: "Moments") -> None:
        """Count what another has counted."""
        self.missing += other.missing
        self.ends = min(self.ends[0], other.ends[0]), max(self.ends[1], other.ends[1])


@dataclass
class Texts:
    """Of texts only how many are missing.

    :ivar missing: rows without one.
    """

    missing: int = 0

    def add(self, values: pa.ChunkedArray) -> None:
        """Count values."""
        self.missing += values.null_count

    def merge(self, other: "Texts") -> None:
        """Count what another has counted."""
        self.missing += other.missing


def _finite(values: pa.ChunkedArray) -> np.ndarray:
    numbers = values.cast(pa.float64(), safe=False).drop_null().to_numpy()
    finite = np.isfinite(numbers)
    found: np.ndarray = numbers if finite.all() else numbers[finite]
    return found


def _order(numbers: np.ndarray) -> np.ndarray:
    """Bits (numbers,) that are in the order of the numbers; both noughts have the same."""
    bits = (numbers + 0.0).view(np.uint64)
    ordered: np.ndarray = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return ordered


def _number(cells: np.ndarray, shift: int) -> np.ndarray:
    """The number of each cell that is the nearest to nought."""
    bits = cells << np.uint64(shift)
    # Of what is below nought all bits are turned round.
    found = np.where(bits & _SIGN, bits & ~_SIGN, ~(bits | np.uint64((1 << shift) - 1)))
    numbers: np.ndarray = found.view(np.float64)
    return numbers


def _add_up(cells: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells, each once, with the sums of their counts."""
    order = np.argsort(cells, kind="stable")
    cells, counts = cells[order], counts[order]
    first = np.flatnonzero(np.append(True, cells[1:] != cells[:-1])) if len(cells) else np.array([], dtype=np.int64)
    return cells[first], np.add.reduceat(counts, first) if len(cells) else counts


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")
