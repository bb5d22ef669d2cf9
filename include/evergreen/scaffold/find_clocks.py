"""What tells the time and not the row: to a tree, a name of the batch that never comes again."""

import numpy as np
import pandas as pd

from evergreen.scaffold.assign_batches import AssignedRows
from evergreen.scaffold.compare_on_history import Halves
from evergreen.scaffold.profile_columns import ColumnFacts

# Fewer batches, or values, grow by chance.
_BATCHES, _VALUES = 4, 20
_NEARLY = 0.98
_ZONED = 2_000
# Fewer times round, a weekday is the name of a day or two.
_TURNS = 3
# Less is chance: on streams to which the day means nothing, up to half a hundredth of the error.
_LOWER = 0.01
_GROWING = 0.95
# Parts that come again only after a year, or never.
_LONG = ("year", "quarter", "month", "week of the year", "day of the year", "day of the month")


def find_clocks(
    columns: list[ColumnFacts], event: ColumnFacts, assigned: AssignedRows, whole_year: bool
) -> dict[str, str]:
    """Numbers and dates that are no features, each with the reason.

    :param columns: those that would be proposed.
    :param assigned: the rows by batch.
    :param whole_year: whether all months were seen: they come again, and what a file says of them may be of use.
    """
    found = {}
    clocks = _clocks(event.values)
    for facts in columns:
        if facts.is_date and facts.name != event.name:
            if counts_on((event.values - facts.values).dt.total_seconds(), event.values, assigned):
                found[facts.name] = f"the time from it to {event.name} only counts on from batch to batch"
        elif facts.is_number:
            part = _part_of(facts.values.astype(float), clocks)
            if part in ("month", "quarter") and whole_year:
                continue
            if part in _LONG:
                found[facts.name] = f"is the {part} of {event.name}, which tells batches apart and not rows"
            elif part and not tells_rows_apart(part, facts.values, assigned):
                found[facts.name] = f"is the {part} of {event.name}, one for all rows of a batch"
            elif counts_on(facts.values.astype(float), event.values, assigned):
                found[facts.name] = "only counts on with time, so that later values lie beyond all that were learnt"
    return found


def counts_on(values: pd.Series, moments: pd.Series, assigned: AssignedRows) -> bool:
    """Whether values grow, or fall, from batch to batch, or nearly in step with time.

    :param values: (rows,) numbers.
    :param moments: (rows,) event times.
    """
    held = (values.notna() & moments.notna() & (assigned.numbers >= 0)).to_numpy()
    values, moments = values[held], moments[held]
    by_batch = values.groupby(assigned.numbers[held])
    if by_batch.ngroups >= _BATCHES:
        low, high = by_batch.quantile(0.01).to_numpy(), by_batch.quantile(0.99).to_numpy()
        for first, last in ((low, high), (-high, -low)):
            if last[-1] > first[0] and np.mean(first[1:] >= last[:-1]) >= _NEARLY:
                return True
    if values.nunique() < _VALUES:
        return False
    ranks = np.corrcoef(values.rank(), moments.rank())[0, 1]
    return bool(abs(ranks) >= _GROWING)


def stands_in(columns: tuple[ColumnFacts, ...], part: str, moments: pd.Series) -> bool:
    """Whether a column is a part of the event time already."""
    clocks = _clocks(moments)
    return any(_part_of(facts.values.astype(float), clocks).startswith(part) for facts in columns if facts.is_number)


def tells_rows_apart(part: str, values: pd.Series, assigned: AssignedRows) -> bool:
    """Whether a part of the event time is more than a name of the batch.

    Most batches have more than one value of it, or it comes again in regular turn, and did: weekdays, where a batch is
    a day.
    """
    turn = {("weekday", "day"): 7, ("hour", "hour"): 24}.get((part.partition(",")[0], assigned.calendar.every))
    if turn is not None and assigned.span >= _TURNS * turn:
        return True
    inside = assigned.numbers >= 0
    return bool(values[inside].groupby(assigned.numbers[inside]).nunique().median() > 1)


def predicts(
    part: pd.Series, columns: list[ColumnFacts], outcome: pd.Series, assigned: AssignedRows, classification: bool
) -> bool:
    """Whether a part of the event time lowers the error on batches that were not learnt from.

    Every other batch is learnt from, the part beside all columns of numbers, and the others are predicted; then the
    other way round. Where there are too few batches to tell, it is taken.

    :param outcome: (rows,) the target as numbers, NaN where it is missing.
    """
    halves = Halves.of(outcome, part.notna().to_numpy(), assigned, classification)
    if halves is None:
        return True
    numbers = [facts.values.to_numpy(dtype=float)[halves.rows] for facts in columns if facts.is_number]
    plain = np.column_stack(numbers or [np.zeros(len(halves.rows))])
    timed = np.column_stack([plain, part.to_numpy(dtype=float)[halves.rows]])
    errors = [halves.sum_errors(features, {"max_iter": 60}) for features in (plain, timed)]
    return errors[1] < (1 - _LOWER) * errors[0]


def _clocks(moments: pd.Series) -> list[dict[str, pd.Series]]:
    """The parts of moments in UTC, then in the zones of the world: a file may have a moment in the one, its parts in
    the other. Summer time is of some rows alone, so hours of a zone are found on a history of one season.
    """
    few = moments.iloc[np.sort(np.random.default_rng(0).permutation(len(moments))[:_ZONED])]
    shifted = (few + pd.Timedelta(hours=hours) for hours in range(-11, 14) if hours)
    return [_calendar_parts(moments), *(_calendar_parts(one) for one in shifted)]


def _calendar_parts(moments: pd.Series) -> dict[str, pd.Series]:
    at = moments.dt
    return {
        "year": at.year, "quarter": at.quarter, "month": at.month, "week of the year": at.isocalendar().week,
        "day of the year": at.dayofyear, "day of the month": at.day, "hour": at.hour, "weekday": at.weekday,
        "weekday, counted from 1": at.weekday + 1, "weekday, counted from Sunday": (at.weekday + 1) % 7,
        "weekday, counted from Sunday as 1": (at.weekday + 1) % 7 + 1,
    }  # fmt: skip


def _part_of(values: pd.Series, clocks: list[dict[str, pd.Series]]) -> str:
    """The part of the event time that a column is in nearly all rows; empty if it is none.

    :param clocks: the parts in each zone in which the file may have them.
    """
    if values.nunique() > 1:
        for parts in clocks:
            for name, part in parts.items():
                if (part == values.loc[part.index]).mean() >= _NEARLY and part.nunique() > 1:
                    return name
    return ""
