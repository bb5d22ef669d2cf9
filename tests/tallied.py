"""Frames as a check reads them: what tests and benches that hold all rows in one frame call."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
import pyarrow as pa

from evergreen.checks import divergences
from evergreen.checks import judge_columns as judging
from evergreen.checks.reference import Reference
from evergreen.checks.tallies import Tallies
from evergreen.config.fields import ColumnType
from evergreen.features.batch_statistics import Statistics
from evergreen.features.histograms import Categories, Moments, Numbers

AT = "at, for the tally"


def tally(
    reference: Reference,
    pieces: Iterable[pd.DataFrame],
    at: pd.Series | None = None,
    batches: pd.Series | None = None,
) -> Tallies:
    """Count rows that come in pieces, whose index is that of their event times and batches."""
    counted: dict[str, Statistics] = {}
    for piece in pieces:
        rows = piece if at is None else piece.assign(**{AT: at.loc[piece.index]})
        for batch, part in [("", rows)] if batches is None else rows.groupby(batches.loc[piece.index], sort=False):
            count(reference, part, counted.setdefault(str(batch), Statistics(_declare(reference, part))))
    tallies = Tallies(reference, AT)
    for batch, one in counted.items():
        tallies.add(one, batch)
    return tallies


def count(reference: Reference, rows: pd.DataFrame, into: Statistics) -> None:
    """Add rows of a frame."""
    arrays = {}
    for name in into.columns:
        kind = "counts" in reference.columns.get(name, {})
        values = rows[name].astype(object).where(rows[name].notna(), None) if kind else rows[name]
        arrays[name] = pa.array(values.map(str, na_action="ignore") if kind else values, from_pandas=True)
        if isinstance(into.columns[name], Moments):
            arrays[name] = arrays[name].cast(pa.timestamp("us", tz="UTC"), safe=False)
    into.add(pa.table(arrays))


def _declare(reference: Reference, rows: pd.DataFrame) -> dict[str, ColumnType]:
    kinds = {name: "category" if "counts" in one else "float" for name, one in reference.columns.items()}
    return {name: ColumnType(type=kind) for name, kind in (kinds | {AT: "timestamp"}).items() if name in rows}


def measure(name: str, described: dict[str, Any], values: pd.Series) -> float:
    """The distance of values from a described column."""
    column = Categories() if "counts" in described else Numbers()
    kept = values.astype(object).where(values.notna(), None).map(str, na_action="ignore")
    column.add(pa.chunked_array([pa.array(kept if "counts" in described else values, from_pandas=True)]))
    return divergences.measure(name, described, column)


def measure_distances(reference: Reference, rows: pd.DataFrame) -> dict[str, float]:
    """The distances of rows from a reference."""
    return judging.measure_distances(reference, tally(reference, [rows]))


def judge_columns(
    reference: Reference,
    rows: pd.DataFrame,
    age: int,
    at: pd.Series | None = None,
    batches: pd.Series | None = None,
) -> dict[str, dict[str, Any]]:
    """What is said of rows.

    :param at: (rows,) event times.
    :param batches: (rows,) the batch of each row; None for one batch.
    """
    return judging.judge_columns(reference, tally(reference, [rows], at, batches), age)
