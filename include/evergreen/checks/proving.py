"""Which expectations hold of many rows, as their statistics show: those need not be asked of each row.

What is not shown to hold is asked of Great Expectations as ever: a failure, its rows and its words are the library's.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.checks.batch_statistics import Column, Statistics
from evergreen.checks.expectations import find_holding, require_known
from evergreen.checks.histograms import Categories, Moments, Numbers
from evergreen.config.expectations_config import ExpectationConfig
from evergreen.storage.frames import to_frame

_BETWEEN = "expect_column_values_to_be_between"
# What holds of each different value holds of each row.
_BY_VALUE = (
    _BETWEEN,
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_not_be_in_set",
    "expect_column_values_to_match_regex",
    "expect_column_values_to_not_match_regex",
    "expect_column_values_to_match_regex_list",
    "expect_column_value_lengths_to_be_between",
    "expect_column_value_lengths_to_equal",
)
_LIMITS = {"column", "min_value", "max_value"}
_PLAIN = _LIMITS | {"strict_min", "strict_max", "value_set", "regex", "regex_list", "match_on", "mostly", "value"}
# Up to here each whole number is a float.
_EXACT = 2.0**53
# Of the largest value: sums of ten million floats in another order differ by less.
_ROUNDING = 1e-8


def find_unproven(
    rows: pa.Table, counted: Statistics, expected: tuple[ExpectationConfig, ...], path: Path
) -> tuple[ExpectationConfig, ...]:
    """The expectations that may not hold.

    :param rows: (rows, columns).
    :param counted: their statistics.
    :param path: expectations.yaml, for messages.
    :raises ConfigInvalid: if an expectation is unknown or has unknown arguments.
    """
    require_known(expected, path)
    by_value = [one for one in expected if _can_ask_by_value(one, rows, counted)]
    holding = set[int]()
    if by_value:
        holding = find_holding(to_frame(_different_values(rows, counted, by_value)), tuple(by_value), path)
    proven = {id(one) for i, one in enumerate(by_value) if i in holding}
    return tuple(one for one in expected if id(one) not in proven and not _is_counted(one, rows, counted))


def columns_of(expected: tuple[ExpectationConfig, ...], names: list[str]) -> list[str]:
    """The columns that expectations read; all where one may read any."""
    read = [one.arguments.get("column") for one in expected]
    alone = all(one.type != "expect_column_to_exist" and "row_condition" not in one.arguments for one in expected)
    return [name for name in names if name in read] if alone and set(read) <= set(names) else names


def _can_ask_by_value(asked: ExpectationConfig, rows: pa.Table, counted: Statistics) -> bool:
    """Whether the different values of its column, or the outermost of them, are known."""
    column = counted.columns.get(str(asked.arguments.get("column")))
    if asked.type not in _BY_VALUE or not set(asked.arguments) <= _PLAIN or column is None:
        return False
    if isinstance(column, Categories):
        return not column.rest
    if not isinstance(column, Numbers | Moments) or not _is_exact(column):
        return False
    return asked.type == _BETWEEN or (isinstance(column, Numbers) and not column.shift)


def _is_exact(column: Numbers | Moments) -> bool:
    """Whether there are values, each of which a float tells."""
    return -_EXACT < column.ends[0] <= column.ends[1] < _EXACT


def _different_values(rows: pa.Table, counted: Statistics, asked: list[ExpectationConfig]) -> pa.Table:
    """Each different value of the columns that are asked, one of them as often as columns are to be of equal length."""
    found: dict[str, list[Any]] = {}
    for name in dict.fromkeys(str(one.arguments["column"]) for one in asked):
        column = counted.columns[name]
        found[name] = _values_of(column, rows.schema.field(name).type) + ([None] if column.missing else [])
    most = max(map(len, found.values()))
    return pa.table(
        {
            name: pa.array(values + values[:1] * (most - len(values))).cast(rows.schema.field(name).type)
            for name, values in found.items()
        }
    )


def _values_of(column: Column, kind: pa.DataType) -> list[Any]:
    if isinstance(column, Categories):
        names = list(column.counts)
        return [name == "True" for name in names] if pa.types.is_boolean(kind) else names
    assert isinstance(column, Numbers | Moments)
    numbers = list(column.ends)
    if isinstance(column, Numbers) and not column.shift:
        numbers = column.values.tolist()
    if pa.types.is_floating(kind):
        return numbers
    whole = pa.array([int(number) for number in numbers], pa.int64())
    moments = whole if pa.types.is_integer(kind) else whole.cast(pa.timestamp("us", tz="UTC"))
    return list(moments.to_pylist())


def _is_counted(asked: ExpectationConfig, rows: pa.Table, counted: Statistics) -> bool:
    """Whether a count, an outermost value or a mean shows that it holds."""
    arguments, column = asked.arguments, counted.columns.get(str(asked.arguments.get("column")))
    if asked.type == "expect_column_values_to_not_be_null":
        return set(arguments) <= {"column", "mostly"} and column is not None and column.missing == 0
    if not set(arguments) <= _LIMITS or any(isinstance(one, bool | str) for one in _limits(arguments)):
        return False
    if asked.type == "expect_table_row_count_to_be_between":
        return _within(arguments, rows.num_rows, rows.num_rows)
    if not isinstance(column, Numbers) or not _is_exact(column):
        return False
    match asked.type:
        case "expect_column_min_to_be_between":
            return _within(arguments, column.ends[0], column.ends[0])
        case "expect_column_max_to_be_between":
            return _within(arguments, column.ends[1], column.ends[1])
        case "expect_column_mean_to_be_between":
            mean = pc.mean(rows.column(str(arguments["column"]))).as_py()
            rounding = _ROUNDING * float(np.abs(column.ends).max())
            return _within(arguments, mean - rounding, mean + rounding)
        case _:
            return False


def _limits(arguments: dict[str, Any]) -> list[Any]:
    return [arguments.get(name) for name in ("min_value", "max_value")]


def _within(arguments: dict[str, Any], low: float, high: float) -> bool:
    least, most = _limits(arguments)
    numbers = all(isinstance(one, int | float | None) for one in (least, most))
    return numbers and (least is None or least <= low) and (most is None or high <= most)
