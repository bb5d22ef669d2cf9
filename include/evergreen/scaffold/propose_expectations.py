"""Expectations with slack: what no sound batch breaks rejects or quarantines, the rest is only noted.

A short history has seen no other season, no other level of prices or rates, no period that was cut short. So what acts
lies at ten times all that was seen, and what hardly varies within a batch, or how many rows come, is noted.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from evergreen.scaffold.answers import Task
from evergreen.scaffold.assign_batches import AssignedRows
from evergreen.scaffold.profile_columns import ColumnFacts

# Fewer batches, or smaller ones, do not tell what a batch looks like.
_BATCHES, _ROWS = 8, 20
_MOST_IN_SET = 30
_TIMES = 10
# From this share of its variance between batches on, or below this deviation within a batch relative to its level, a
# column has a level of its own in each batch, which may go anywhere.
_BETWEEN, _SPREAD = 0.5, 0.1


@dataclass(frozen=True)
class Proposed:
    """One expectation, with what in the data speaks for it."""

    type: str
    arguments: dict[str, Any]
    evidence: str


def propose_for_rows(
    columns: list[ColumnFacts], required: set[str], assigned: AssignedRows, whole_year: bool
) -> list[Proposed]:
    """Expectations of rows.

    :param columns: the declared columns.
    :param required: those in which the loop itself allows no null.
    :param assigned: the rows by batch.
    :param whole_year: whether the history spans all seasons.
    """
    known = _is_known(assigned)
    found = [_expect_volume(assigned)]
    for facts in columns:
        if facts.name not in required and not facts.is_date:
            found += _expect_present(facts, assigned, known)
        if facts.is_number and facts.name not in required:
            found += [_expect_range(facts, assigned, whole_year), *_expect_median(facts, assigned)]
        elif facts.type is not None and facts.type.type == "category" and facts.distinct <= _MOST_IN_SET:
            values = sorted({str(value) for value in facts.values.dropna()})
            arguments = {"column": facts.name, "value_set": values, "mostly": 0.9, "severity": "info"}
            found.append(
                Proposed("expect_column_values_to_be_in_set", arguments, "all that was seen; a new one is noted")
            )
    return found


def propose_for_labels(target: ColumnFacts, task: Task, assigned: AssignedRows, whole_year: bool) -> list[Proposed]:
    """Expectations of labels: impossible values, and labels that as a whole are of another kind."""
    by_batch = target.values.astype(float).groupby(assigned.numbers)
    sizes = by_batch.count()
    if task == "classification":
        shares = by_batch.mean()[sizes >= _ROWS]
        if len(shares) < _BATCHES or target.type is None or target.type.type == "boolean":
            return [_expect_truths(target)] if target.is_number else []
        low, high = max(0.0, float(shares.min()) / 2), min(1.0, (1 + float(shares.max())) / 2)
        seen = f"{shares.min():.1%} to {shares.max():.1%} by batch"
        arguments = {"column": target.name, "min_value": _down(low), "max_value": _up(high), "severity": "info"}
        return [_expect_truths(target), Proposed("expect_column_mean_to_be_between", arguments, seen)]
    return [_expect_range(target, assigned, whole_year), *_expect_median(target, assigned)]


def _is_known(assigned: AssignedRows) -> bool:
    sizes = assigned.sizes
    return len(sizes) >= _BATCHES and float(np.median(sizes)) >= _ROWS


def _expect_volume(assigned: AssignedRows) -> Proposed:
    sizes = assigned.sizes
    arguments = {"min_value": max(1, int(sizes.min()) // 2), "max_value": int(sizes.max()) * 3, "severity": "info"}
    seen = f"{sizes.min():,} to {sizes.max():,} a batch"
    return Proposed("expect_table_row_count_to_be_between", arguments, seen)


def _expect_present(facts: ColumnFacts, assigned: AssignedRows, known: bool) -> list[Proposed]:
    """A column that is always there and half gone is a fault; one with gaps may have larger gaps."""
    missing = facts.values.isna()
    by_batch = missing.groupby(assigned.numbers).mean()
    worst = float(by_batch[by_batch.index >= 0].max())
    if not missing.any():
        severity = "critical" if known else "info"
        arguments = {"column": facts.name, "mostly": 0.5, "severity": severity}
        return [Proposed("expect_column_values_to_not_be_null", arguments, "never missing")]
    if worst > 0.5:
        return []
    arguments = {"column": facts.name, "mostly": _down(1 - min(0.9, 2 * worst + 0.05)), "severity": "info"}
    return [Proposed("expect_column_values_to_not_be_null", arguments, f"at most {worst:.1%} missing in a batch")]


def _expect_range(facts: ColumnFacts, assigned: AssignedRows, whole_year: bool) -> Proposed:
    """Ten times the largest value seen, below 0 as above; a count, or what no season brought below 0, stays above."""
    held = facts.values.dropna().astype(float)
    low, high = float(held.min()), float(held.max())
    reach = _TIMES * (max(abs(low), abs(high)) or 1.0)
    counted = facts.type is not None and facts.type.type == "integer" and low in (0, 1)
    floor = 0.0 if low >= 0 and (whole_year or counted) else -reach
    severity = "info" if has_levels(facts.values, assigned) else "warning"
    arguments = {"column": facts.name, "min_value": _down(floor), "max_value": _up(reach), "severity": severity}
    return Proposed("expect_column_values_to_be_between", arguments, f"{low:.6g} to {high:.6g} seen")


def _expect_median(facts: ColumnFacts, assigned: AssignedRows) -> list[Proposed]:
    """A batch whose middle value lies ten times beyond all that was seen is in another unit, or of another column."""
    by_batch = facts.values.astype(float).groupby(assigned.numbers)
    medians = by_batch.median()[by_batch.count() >= _ROWS]
    medians = medians[medians.index >= 0]
    if len(medians) < _BATCHES or medians.min() <= 0 or has_levels(facts.values, assigned):
        return []
    # Where values may be 0, a batch may be of zeros for the most part.
    low = {"min_value": _down(float(medians.min()) / _TIMES)} if facts.values.min() > 0 else {}
    high = {"max_value": _up(float(medians.max()) * _TIMES), "severity": "critical"}
    seen = f"{medians.min():.4g} to {medians.max():.4g} by batch; ten times beyond, the unit is another"
    return [Proposed("expect_column_median_to_be_between", {"column": facts.name, **low, **high}, seen)]


def has_levels(values: pd.Series, assigned: AssignedRows) -> bool:
    """Whether a column hardly varies within a batch: an interest rate, a temperature, an index, a constant."""
    values = values.astype(float)
    inside = values.notna().to_numpy() & (assigned.numbers >= 0)
    groups = values[inside].groupby(assigned.numbers[inside])
    total = float(values[inside].var())
    if not total > 0:
        return True
    within = float(((values[inside] - groups.transform("mean")) ** 2).mean())
    level = float(groups.median().abs().median())
    return bool(within <= (1 - _BETWEEN) * total or within**0.5 < _SPREAD * level)


def _expect_truths(target: ColumnFacts) -> Proposed:
    arguments = {"column": target.name, "value_set": [0, 1], "severity": "warning"}
    return Proposed("expect_column_values_to_be_in_set", arguments, "what classification predicts")


def _down(value: float) -> float | int:
    return _rounded(value, np.floor)


def _up(value: float) -> float | int:
    return _rounded(value, np.ceil)


def _rounded(value: float, towards: Any) -> float | int:
    """Two digits are enough for a limit with slack."""
    if value == 0:
        return 0
    step = 10.0 ** (np.floor(np.log10(abs(value))) - 1)
    rounded = float(f"{float(towards(value / step) * step):.12g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
