"""Frames as a check reads them: what tests and benches that hold all rows in one frame call."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from evergreen.checks import divergences
from evergreen.checks import judge_columns as judging
from evergreen.checks.reference import Reference
from evergreen.checks.tallies import Categories, Numbers, Tallies

AT = "at, for the tally"


def tally(
    reference: Reference,
    pieces: Iterable[pd.DataFrame],
    at: pd.Series | None = None,
    batches: pd.Series | None = None,
) -> Tallies:
    """Count rows that come in pieces, whose index is that of their event times and batches."""
    tallies = Tallies(reference, AT)
    for piece in pieces:
        rows = piece if at is None else piece.assign(**{AT: at.loc[piece.index]})
        for batch, part in [("", rows)] if batches is None else rows.groupby(batches.loc[piece.index], sort=False):
            tallies.add(part, str(batch))
    return tallies


def measure(name: str, described: dict[str, Any], values: pd.Series) -> float:
    """The distance of values from a described column."""
    column = (
        Categories() if "counts" in described else Numbers(pd.Series(described["quantiles"], dtype=float).to_numpy())
    )
    column.add(values)
    return divergences.measure(name, described, column.seen)


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
