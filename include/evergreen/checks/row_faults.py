"""What is wrong with rows as such: what is missing, moments far from their batch, copies."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.checks.failing_rows import Failures
from evergreen.storage.frames import naive
from evergreen.storage.pieces import ROWS
from evergreen.storage.set_aside import Repeats, SetAside

Span = tuple[str, datetime, datetime]


@dataclass
class RowFailures:
    """Reasons by the place of the row among all that arrived."""

    failures: Failures = field(default_factory=dict)

    def add(self, rows: Any, expectation: str, column: str | None, found: str) -> None:
        """Note what is wrong with some rows."""
        for row in rows:
            self.failures.setdefault(int(row), []).append((expectation, column, found))

    @property
    def places(self) -> np.ndarray:
        """(n,) places of the rows, sorted."""
        return np.sort(np.fromiter(self.failures, np.int64, len(self.failures)))


def find_nulls(rows: pa.Table, start: int, required: tuple[str, ...], failed: RowFailures) -> None:
    """Rows that lack a value where there has to be one.

    :param start: the place of the first of them.
    """
    for name in required:
        column = rows.column(name)
        missing = np.flatnonzero(pc.is_null(column).to_numpy()) + start if column.null_count else ()
        failed.add([row for row in missing if row not in failed.failures], "not null", name, f"{name} is missing")


def find_far_times(rows: pa.Table, start: int, span: Span | None, failed: RowFailures) -> None:
    """Event times far from the batch are slips of the pen, or of a clock.

    :param start: the place of the first row.
    """
    if span is None:
        return
    name, first, last = span
    moments = rows.column(name).cast(pa.timestamp("us", tz="UTC"))
    limits = [pa.scalar(moment, pa.timestamp("us", tz="UTC")) for moment in (first, last)]
    far = pc.fill_null(pc.or_(pc.less(moments, limits[0]), pc.greater(moments, limits[1])), fill_value=False)
    for row in np.flatnonzero(far.to_numpy()):
        at = f"{moments[int(row)].as_py():%Y-%m-%d}"
        found = (
            f"{at} lies outside {first:%Y-%m-%d} to {last:%Y-%m-%d}; source.late in config.yaml reaches further back"
        )
        failed.add([row + start], "near its batch", name, found)


def find_duplicates(rows: SetAside, repeats: Repeats, key: list[str], failed: RowFailures) -> None:
    """Of equal copies the first stays. Copies that differ all go: nothing tells which of them is right.

    :param repeats: the hashes of the keys of the rows that stand.
    """
    for places in _some_at_once(repeats.groups()):
        # Beside a null, whole numbers would become floats for pandas, and large ones would meet.
        among = naive(rows.take(places)).to_pandas(integer_object_nulls=True).set_index(places)
        copied = among[among.duplicated(key, keep=False)]
        equal = copied.duplicated(keep=False) & (
            copied.groupby(key, sort=False)[key[0]].transform("size")
            == copied.groupby(list(copied.columns), sort=False, dropna=False)[key[0]].transform("size")
        )
        label = "unique by " + ", ".join(key)
        failed.add(
            copied.index[equal & copied.duplicated(key, keep="first")], label, key[0], "an equal copy came before"
        )
        failed.add(copied.index[~equal], label, key[0], "copies of this key differ from one another")


def _some_at_once(groups: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Groups of places, small ones together: to find their rows, all are passed by."""
    held: list[np.ndarray] = []
    for places in groups:
        held.append(places)
        if sum(map(len, held)) > ROWS:
            yield np.sort(np.concatenate(held))
            held = []
    if held:
        yield np.sort(np.concatenate(held))
