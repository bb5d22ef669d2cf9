"""Streams of batches whose truth is known: alike, apart from each other, on a calendar, in the seasons; and changed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

CATEGORICAL = {"kind", "zone", "flag", "season", "weekend"}
# By how much the batches of a stream lie apart: standard deviations of levels, and of logits.
APART = {"ordinary": 0.1, "apart": 0.15}
CHANGES = (
    "shift of 0.2 sd",
    "shift of 0.5 sd",
    "spread times 1.5",
    "new category, 5 % of rows",
    "missing burst, 15 % of rows",
    "trend of 0.02 sd a batch",
)
_START = pd.Timestamp("2023-01-01", tz="UTC")
_KINDS = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
_ZONES = 1 / np.arange(1, 31)


@dataclass(frozen=True)
class Batches:
    """Some consecutive batches of a stream.

    :param rows: (n, columns).
    :param number: (n,) the batch of each row.
    :param at: (n,) its event time.
    """

    rows: pd.DataFrame
    number: pd.Series
    at: pd.Series


def draw(stream: str, random: np.random.Generator, first: int, batches: int, size: int, change: str = "") -> Batches:
    """Draw batches, one a day.

    ``alike``: rows are independent. ``ordinary`` and ``apart``: each batch has levels and shares of its own, normal
    around the stream's with a standard deviation of 0.1 or 0.15 (of logits the same). ``calendar``: rows are
    independent, and columns say month, season, weekday, weekend and hour. ``weekly``: two columns follow the day of the
    week, by 0.5 sd and 0.5 in logits. ``seasonal``: a column swings by 1.4 sd over the year.

    :param first: day of the first batch, from 0.
    :param change: what is changed, and from the first of these batches on; ``""`` for nothing.
    """
    day = np.repeat(np.arange(first, first + batches), size)
    n = len(day)
    hour = np.clip(random.normal(14, 5, n), 0, 23.99)
    at = pd.Series(_START + pd.to_timedelta(day * 24 + hour, unit="h"))

    def level() -> np.ndarray:
        return np.repeat(random.normal(0, APART.get(stream, 0.0), batches), size)

    week = np.isin(day % 7, (0, 6)) if stream == "weekly" else np.zeros(n)
    base = random.normal(0, 1, n)
    load = (
        random.normal(0, 1.5 if change.startswith("spread") else 1, n)
        + level()
        + 0.5 * week
        + _shift(change, day - first)
    )
    unknown = random.random(n) < 0.1 * np.exp(level())
    rows = pd.DataFrame(
        {
            "load": load,
            "price": np.exp(0.6 * base + 0.3 * random.normal(0, 1, n) + 0.6 * level()),
            "count": random.poisson(2 * np.exp(level())),
            "rating": np.where(unknown, np.nan, 0.5 * base + random.normal(0, 1, n) + level()),
            "kind": _pick(random, _KINDS, stream, batches, size),
            "zone": _pick(random, _ZONES, stream, batches, size),
            "flag": random.random(n) < 1 / (1 + np.exp(1 - level() - 0.5 * week)),
        }
    )
    if stream == "calendar":
        season = np.array(["winter", "spring", "summer", "autumn"])[at.dt.month % 12 // 3]
        told = {"month": at.dt.month, "weekday": at.dt.weekday, "hour": at.dt.hour, "season": season}
        rows = rows.assign(**told, weekend=at.dt.weekday >= 5)
    if stream == "seasonal":
        rows["warmth"] = (
            random.normal(0, 1, n)
            - 1.4 * np.cos(2 * np.pi * (day - 15) / 365)
            + np.repeat(random.normal(0, 0.15, batches), size)
        )
    if change.startswith("new"):
        rows.loc[random.random(n) < 0.05, "kind"] = "new"
    if change.startswith("missing"):
        rows.loc[random.random(n) < 0.15, "load"] = np.nan
    return Batches(rows, pd.Series(day), at)


def _shift(change: str, since: np.ndarray) -> np.ndarray | float:
    if change.startswith("shift"):
        return float(change.split()[2])
    return 0.02 * (since + 1) if change.startswith("trend") else 0.0


def _pick(random: np.random.Generator, shares: np.ndarray, stream: str, batches: int, size: int) -> np.ndarray:
    names = np.array([f"v{i}" for i in range(len(shares))], dtype=object)
    tilt = random.normal(0, APART.get(stream, 0.0), (batches, len(shares)))
    weights = shares * np.exp(tilt)
    limits = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    drawn = random.random((batches, size))
    picked = [np.searchsorted(limits[i], drawn[i]) for i in range(batches)]
    return names[np.minimum(np.concatenate(picked), len(shares) - 1)]
