"""Columns that say when a row happened: month, hour, weekday, season. They move on with time and mean nothing by it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

# Of the rows that can tell, the share that must have the value that their time gives.
_NEARLY = 0.99
# Nothing of a calendar has more values, the days of a year apart.
_MOST_VALUES = 366
_SEASONS = np.array(["win", "spr", "sum", "aut"])


def _season(at: pd.DatetimeIndex, offset_days: int) -> np.ndarray:
    """0 for winter; by whole months, or some three weeks later as astronomers have it."""
    return np.asarray((at - pd.Timedelta(days=offset_days)).month % 12 // 3)


# What the world derives from a time. Names are compared by their first three letters.
_PARTS: dict[str, Callable[[pd.DatetimeIndex], Any]] = {
    "year": lambda at: at.year,
    "quarter": lambda at: at.quarter,
    "month": lambda at: at.month,
    "month from 0": lambda at: at.month - 1,
    "month name": lambda at: at.month_name().str[:3].str.lower(),
    "week": lambda at: at.isocalendar().week.to_numpy(),
    "day": lambda at: at.day,
    "day of year": lambda at: at.dayofyear,
    "weekday from 0": lambda at: at.weekday,
    "weekday from 1": lambda at: at.weekday + 1,
    "weekday from Sunday 0": lambda at: (at.weekday + 1) % 7,
    "weekday from Sunday 1": lambda at: (at.weekday + 1) % 7 + 1,
    "weekday name": lambda at: at.day_name().str[:3].str.lower(),
    "weekend": lambda at: (at.weekday >= 5).astype(int),
    "hour": lambda at: at.hour,
    "minute": lambda at: at.minute,
    "season from 0": lambda at: _season(at, 0),
    "season from 1": lambda at: _season(at, 0) + 1,
    "season name": lambda at: _SEASONS[_season(at, 0)],
    "season of the sun from 0": lambda at: _season(at, 20),
    "season of the sun from 1": lambda at: _season(at, 20) + 1,
    "season of the sun name": lambda at: _SEASONS[_season(at, 20)],
}
# Those of which a column may be any function, if it was seen often enough to be one.
_RECURRING = ("hour", "weekday from 0", "month")


def find_followed(
    rows: pd.DataFrame, columns: list[str], at: pd.Series, batches: pd.Series
) -> dict[str, dict[str, dict[str, str]]]:
    """By column, the parts of the event time that it follows, with what each value gives where that has to be learnt.

    A column follows a part if it is that part, or if each value of the part has one value of the column. The second is
    believed only where values recur in several batches: what is constant within each batch is a function of every date.

    :param rows: (rows, columns) the reference.
    :param at: (rows,) their event times.
    :param batches: (rows,) their batches.
    """
    some = _some(len(rows))
    times = _times(at.iloc[some])
    parts = {name: _part(name, times) for name in _PARTS}
    followed = {}
    for column in columns:
        texts = _name(rows[column].iloc[some])
        is_comparable = texts.notna().to_numpy() & times.notna()
        values = texts.to_numpy()[is_comparable]
        if not 0 < len(set(values)) <= _MOST_VALUES:
            continue
        found: dict[str, dict[str, str]] = {
            name: {} for name, part in parts.items() if (part[is_comparable] == values).mean() >= _NEARLY
        }
        for name in _RECURRING if not found and len(set(values)) > 1 else ():
            learnt = _learn(values, parts[name][is_comparable], batches.to_numpy()[some][is_comparable])
            found.update({name: learnt} if learnt else {})
        if found:
            followed[column] = found
    return followed


def follows(followed: dict[str, dict[str, str]], values: pd.Series, at: pd.Series) -> str | None:
    """The part of the event time that a batch's column follows as the reference does; None for none.

    :param values: (rows,) of the batch.
    :param at: (rows,) their event times.
    """
    some = _some(len(values))
    texts, times = _name(values.iloc[some]), _times(at.iloc[some])
    is_comparable = texts.notna().to_numpy() & times.notna()
    if not is_comparable.any():
        return None
    seen, times = texts.to_numpy()[is_comparable], times[is_comparable]
    for part, learnt in followed.items():
        names = _part(part, times)
        wanted = pd.Series(names).map(learnt).to_numpy(dtype=object) if learnt else names
        # What a part that the reference has not seen should give, nobody knows.
        tells = pd.notna(wanted)
        if not tells.any() or (wanted[tells] == seen[tells]).mean() >= _NEARLY:
            return part
    return None


def _learn(values: np.ndarray, part: np.ndarray, batches: np.ndarray) -> dict[str, str]:
    seen = pd.DataFrame({"value": values, "part": part, "batch": batches})
    counts = seen.groupby(["part", "value"], sort=True).size().rename("rows").reset_index()
    modes = counts.sort_values("rows", kind="stable").drop_duplicates("part", keep="last").set_index("part")["value"]
    again = seen.groupby("part")["batch"].nunique() > 1
    right = (seen["part"].map(modes) == seen["value"]).to_numpy()
    # A part that gives every hour the same value explains nothing: the rarer values must be told as well.
    rare = (seen["value"] != seen["value"].mode()[0]).to_numpy()
    explains = modes[again].nunique() > 1 and right.mean() >= _NEARLY and right[rare].mean() >= _NEARLY
    return {str(name): str(value) for name, value in modes[again].items()} if explains else {}


def _part(name: str, times: pd.DatetimeIndex) -> np.ndarray:
    return np.asarray([str(one) for one in np.asarray(_PARTS[name](times))], dtype=object)


def _some(rows: int) -> np.ndarray:
    """At most 2,000 rows, evenly from first to last: enough to see a rule that holds for nearly all."""
    return np.linspace(0, rows - 1, min(rows, 2000)).astype(int)


def _times(at: pd.Series) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(at, utc=True))


def _name(values: pd.Series) -> pd.Series:
    """Values as text: 1 for 1.0, ``true`` and ``01``; the first three letters of a name."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("Int64").astype("string").astype(object)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.map(lambda one: f"{one:.6g}", na_action="ignore").astype(object)
    numbers = pd.to_numeric(values, errors="coerce")
    texts = values.astype("string").str.strip().str.lower().replace({"true": "1", "false": "0", "fall": "aut"})
    named = texts.str[:3].astype(object)
    whole = numbers.notna()
    return named.where(~whole, numbers.map(lambda one: f"{one:.6g}", na_action="ignore"))
