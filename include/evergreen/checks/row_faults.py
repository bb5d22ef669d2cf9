"""What is wrong with rows as such: what is missing, moments far from their batch, copies."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.checks.quarantine import Failures
from evergreen.storage.frames import naive

Span = tuple[str, datetime, datetime]


@dataclass
class RowFailures:
    """Reasons by position of the row among all that arrived."""

    failures: Failures = field(default_factory=dict)

    def add(self, rows: Any, expectation: str, column: str | None, found: str) -> None:
        """Note what is wrong with some rows."""
        for row in rows:
            self.failures.setdefault(int(row), []).append((expectation, column, found))


def find_nulls(rows: pa.Table, required: tuple[str, ...], failed: RowFailures) -> None:
    """Rows that lack a value where there has to be one."""
    for name in required:
        missing = np.flatnonzero(pc.is_null(rows.column(name)).to_numpy()) if rows.column(name).null_count else ()
        failed.add([row for row in missing if row not in failed.failures], "not null", name, f"{name} is missing")


def find_far_times(rows: pa.Table, span: Span | None, failed: RowFailures) -> None:
    """Event times far from the batch are slips of the pen, or of a clock."""
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
        failed.add([row], "near its batch", name, found)


def find_standing(rows: pa.Table, places: np.ndarray, failed: RowFailures) -> tuple[pa.Table, np.ndarray]:
    """The rows that have not failed, and their places."""
    if not failed.failures:
        return rows, places
    stands = ~np.isin(places, np.fromiter(failed.failures, np.int64))
    return rows.filter(pa.array(stands)), places[stands]


def find_duplicates(rows: pa.Table, places: np.ndarray, key: list[str], failed: RowFailures) -> None:
    """Of equal copies the first stays. Copies that differ all go: nothing tells which of them is right.

    :param rows: (rows, columns) sorted by key.
    :param places: (rows,) where each stands among all that arrived.
    """
    rows, places = find_standing(rows, places, failed)
    follows = np.ones(max(rows.num_rows - 1, 0), dtype=bool)
    for name in key if len(follows) else ():
        column = rows.column(name)
        follows &= pc.equal(column.slice(1), column.slice(0, len(follows))).to_numpy()
    if not follows.any():
        return
    among = np.append(False, follows) | np.append(follows, False)
    # Beside a null, whole numbers would become floats for pandas, and large ones would meet.
    frame = naive(rows.filter(pa.array(among))).to_pandas(integer_object_nulls=True).set_index(places[among])
    copied = frame.sort_index()
    equal = copied.duplicated(keep=False) & (
        copied.groupby(key, sort=False)[key[0]].transform("size")
        == copied.groupby(list(copied.columns), sort=False, dropna=False)[key[0]].transform("size")
    )
    label = "unique by " + ", ".join(key)
    failed.add(copied.index[equal & copied.duplicated(key, keep="first")], label, key[0], "an equal copy came before")
    failed.add(copied.index[~equal], label, key[0], "copies of this key differ from one another")


def in_order(rows: pa.Table, order: np.ndarray) -> pa.Table:
    """Rows in another order; where it is theirs, they are not copied."""
    return rows if (order[1:] > order[:-1]).all() else rows.take(pa.array(order))
