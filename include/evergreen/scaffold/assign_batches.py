"""Which batch each row falls into, for a length of batches."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

import numpy as np
import pandas as pd

from evergreen.batches import Calendar, Every

EVERY: tuple[Every, ...] = get_args(Every)
_UNITS = {"minute": "min", "hour": "h", "day": "D", "week": "D", "month": "D"}
_PREFERRED: tuple[Every, ...] = ("week", "day", "month", "hour", "minute")
# Where fewer of the batches have rows, dates are those of a longer period: the first of each month.
_FILLED = 0.5
# Batches that a replay takes minutes, not hours, for.
_MANY = 400
# Up to this share of all rows, in days (or shorter batches) with as little of what is usual, are stragglers.
_STRAGGLERS, _SPARSE = 0.001, 0.1


@dataclass(frozen=True)
class AssignedRows:
    """Rows by batch.

    :param calendar: the batches, from the first row's on.
    :param numbers: (rows,) number of each row's batch; negative before the start, and where there is no time.
    :param before: rows so much older than the rest that the calendar leaves them out.
    :param last: the last batch that a replay should go to; None for the last there is.
    :param after: rows so much later than the rest that a replay need not reach them.
    """

    calendar: Calendar
    numbers: np.ndarray
    before: int
    last: str | None
    after: int

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each batch that has any, in order."""
        assigned = self.numbers[self.numbers >= 0]
        if self.last is not None:
            assigned = assigned[assigned <= self.calendar.index(self.last)]
        return np.unique(assigned, return_counts=True)[1]

    @property
    def span(self) -> int:
        """Batches from the first to the last, empty ones counted."""
        last = self.calendar.index(self.last) if self.last is not None else int(self.numbers.max())
        return last + 1


def assign_batches(moments: pd.Series, every: Every, named: datetime | None = None) -> AssignedRows:
    """Assign rows to batches; stray dates decades away from all others, and a few stragglers, do not move the start.

    :param moments: (rows,) event times in UTC without a zone; NaT where there is none.
    :param named: the first batch, where the files are named by their batches.
    """
    held = moments.dropna()
    low, high = (pd.Timestamp(held.quantile(at, "nearest")) for at in (0.001, 0.999))
    oldest, newest = pd.Timestamp(held.min()), pd.Timestamp(held.max())
    reach = (high - low) / 2 + pd.Timedelta(days=1)
    first = _skip_stragglers(held[held >= low] if low - oldest > reach else held, every)
    last = high if newest - high > reach else None
    start = first.floor(_UNITS[every])
    if every == "month":
        start = start.replace(day=1)
    if named is not None:
        start = _align(start, pd.Timestamp(named), every)
    calendar = Calendar(every, start.to_pydatetime().replace(tzinfo=UTC))
    if every == "month":
        numbers = (moments.dt.year - start.year) * 12 + moments.dt.month - start.month
    else:
        length = calendar.starts_at(1) - calendar.starts_at(0)
        numbers = (moments - start) // pd.Timedelta(length)
    assigned = numbers.fillna(-1).to_numpy(dtype=np.int64)
    end = calendar.containing(_utc(last)) if last is not None else None
    return AssignedRows(calendar, assigned, int((held < start).sum()), end, int((held > last).sum()) if end else 0)


def _skip_stragglers(held: pd.Series, every: Every) -> pd.Timestamp:
    """The first row of the first day (month, hour, minute) that has at least a tenth of the usual rows."""
    unit = "M" if every == "month" else _UNITS[every]
    counts = held.dt.to_period(unit).value_counts().sort_index()
    sparse = counts < _SPARSE * counts.median()
    few = counts.cumsum() <= _STRAGGLERS * len(held)
    skipped = int((sparse & few).cumprod().sum())
    return pd.Timestamp(held[held >= counts.index[skipped].start_time].min())


def _align(start: pd.Timestamp, named: pd.Timestamp, every: Every) -> pd.Timestamp:
    """The start by the rows, moved to where batches begin by their files' names; weeks begin on that weekday."""
    if every == "week":
        return start - (start - named) % pd.Timedelta(weeks=1)
    near = pd.Timedelta(days=62) if every == "month" else 2 * pd.Timedelta(f"1{_UNITS[every]}")
    return named if pd.Timedelta(0) < start - named <= near else start


def propose_every(moments: pd.Series) -> tuple[dict[Every, str], Every | None]:
    """What each length of batches would mean, and the one that gives enough batches with enough rows each."""
    told: dict[Every, str] = {}
    enough: dict[Every, float] = {}
    for every in EVERY:
        assigned = assign_batches(moments, every)
        rows = float(np.median(assigned.sizes))
        told[every] = f"{assigned.span:,} batches, {rows:,.0f} rows in the middle one"
        filled = len(assigned.sizes) / assigned.span
        if filled < _FILLED:
            told[every] += f"; {1 - filled:.0%} have none"
        elif 2 < assigned.span <= _MANY:
            enough[every] = min(1.0, rows / 50) * min(1.0, assigned.span / 12)
    if not enough:
        return told, None
    good: list[Every] = [every for every in _PREFERRED if enough.get(every, 0) >= 1]
    return told, good[0] if good else max(enough, key=lambda every: enough[every])


def _utc(moment: pd.Timestamp) -> datetime:
    stamp: datetime = moment.to_pydatetime()
    return stamp.replace(tzinfo=UTC)
