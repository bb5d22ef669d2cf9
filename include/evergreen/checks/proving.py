"""Which expectations hold of many rows, as their statistics and one pass show: those need not be asked of each row.

What is not shown to hold is asked of Great Expectations as ever: a failure, its rows and its words are the library's.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.checks.expectations import find_holding, require_known
from evergreen.config.expectations_config import ExpectationConfig
from evergreen.features.batch_statistics import Column, Statistics
from evergreen.features.histograms import Categories, Moments, Numbers
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
# Each row is told by itself, so that the library can be asked of some at a time.
BY_ROW = (
    *_BY_VALUE,
    "expect_column_values_to_be_null",
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_not_match_regex_list",
    "expect_column_values_to_match_strftime_format",
    "expect_column_values_to_be_dateutil_parseable",
    "expect_column_values_to_be_json_parseable",
    "expect_column_values_to_match_json_schema",
    "expect_column_pair_values_to_be_equal",
    "expect_column_pair_values_a_to_be_greater_than_b",
    "expect_column_pair_values_to_be_in_set",
    "expect_multicolumn_sum_to_equal",
    "expect_multicolumn_values_to_be_equal",
    "expect_select_column_values_to_be_unique_within_record",
)
_ROW_COUNT = ("expect_table_row_count_to_be_between", "expect_table_row_count_to_equal")
# What any of the rows tell.
BY_SCHEMA = (
    "expect_column_to_exist",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_table_columns_to_match_ordered_list",
    "expect_table_columns_to_match_set",
)
# Patterns that mean at most as much to Arrow as to Python: letters and digits, classes, groups, repetitions, ends.
_LETTER = r"""[A-Za-z0-9 _\-/:,;@#%&=<>~!"']|\\[.^$*+?()\[\]{}|/\\-]"""
_PATTERN = re.compile(
    rf"""(?:{_LETTER}|\\[dws]|[.^$|)]|\((?:\?:|(?!\?))|[*+?]\??|\{{\d+(?:,\d*)?\}}|\[\^(?:{_LETTER})+\]|\[(?:{_LETTER}|\\[dws])+\])*"""
)
# Up to here each whole number is a float.
_EXACT = 2.0**53
# Of the largest value: sums of ten million floats in another order differ by less.
_ROUNDING = 1e-8


class Proof:
    """What pieces of many rows show that their statistics do not tell.

    :param expected: what may be asked.
    """

    def __init__(self, expected: tuple[ExpectationConfig, ...]) -> None:
        self._sums = {
            str(one.arguments.get("column")): 0.0 for one in expected if one.type == "expect_column_mean_to_be_between"
        }
        self._patterns = {
            id(one): one for one in expected
            if one.type == "expect_column_values_to_match_regex" and set(one.arguments) <= _PLAIN
            and _means_the_same(str(one.arguments.get("regex")))
        }  # fmt: skip

    def add(self, rows: pa.Table) -> None:
        """Look at rows."""
        for name in self._sums:
            if name in rows.column_names and _is_number(rows.schema.field(name).type):
                self._sums[name] += pc.sum(rows.column(name).cast(pa.float64(), safe=False)).as_py() or 0.0
        for one in list(self._patterns.values()):
            if not _match(rows, one.arguments):
                del self._patterns[id(one)]

    def total(self, column: str) -> float:
        """The sum of the numbers of a column of which a mean is expected."""
        return self._sums[column]

    def matches(self, asked: ExpectationConfig, missing: int, rows: int) -> bool:
        """Whether each text matched, and there was one."""
        return id(asked) in self._patterns and missing < rows


def _means_the_same(pattern: str) -> bool:
    """Whether what a pattern fits to Arrow it fits to Python, too."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    return _PATTERN.fullmatch(pattern) is not None


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _match(rows: pa.Table, arguments: dict[str, Any]) -> bool:
    name = str(arguments.get("column"))
    if name not in rows.column_names or not pa.types.is_string(rows.schema.field(name).type):
        return False
    try:
        matched = pc.all(pc.match_substring_regex(rows.column(name), str(arguments["regex"]))).as_py()
    except pa.ArrowException:
        return False
    return matched is not False


def find_unproven(
    schema: pa.Schema, counted: Statistics, proof: Proof, expected: tuple[ExpectationConfig, ...], path: Path
) -> tuple[ExpectationConfig, ...]:
    """The expectations that may not hold.

    :param schema: of the rows.
    :param counted: their statistics.
    :param proof: what all of them have shown.
    :param path: expectations.yaml, for messages.
    :raises ConfigInvalid: if an expectation is unknown or has unknown arguments.
    """
    require_known(expected, path)
    by_value = [one for one in expected if _can_ask_by_value(one, counted)]
    holding = set[int]()
    if by_value:
        holding = find_holding(to_frame(_different_values(schema, counted, by_value)), tuple(by_value), path)
    proven = {id(one) for i, one in enumerate(by_value) if i in holding}
    return tuple(one for one in expected if id(one) not in proven and not _is_counted(one, counted, proof))


def columns_of(expected: tuple[ExpectationConfig, ...], names: list[str]) -> list[str]:
    """The columns that expectations read; all where one may read any."""
    read = set[str]()
    for one in expected:
        if one.type in _ROW_COUNT:
            read.add(names[0])
            continue
        named = [one.arguments.get(argument) for argument in ("column", "column_A", "column_B")]
        mine = {str(name) for name in (*named, *one.arguments.get("column_list", ())) if name is not None}
        if one.type == "expect_column_to_exist" or not mine or not mine <= {*names}:
            return names
        condition = str(one.arguments.get("row_condition", ""))
        read |= mine | {name for name in names if name in condition}
    return [name for name in names if name in read]


def _can_ask_by_value(asked: ExpectationConfig, counted: Statistics) -> bool:
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


def _different_values(schema: pa.Schema, counted: Statistics, asked: list[ExpectationConfig]) -> pa.Table:
    """Each different value of the columns that are asked, one of them as often as columns are to be of equal length."""
    found: dict[str, list[Any]] = {}
    for name in dict.fromkeys(str(one.arguments["column"]) for one in asked):
        column = counted.columns[name]
        found[name] = _values_of(column, schema.field(name).type) + ([None] if column.missing else [])
    most = max(map(len, found.values()))
    return pa.table(
        {
            name: pa.array(values + values[:1] * (most - len(values))).cast(schema.field(name).type)
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


def _is_counted(asked: ExpectationConfig, counted: Statistics, proof: Proof) -> bool:
    """Whether a count, an outermost value or a mean shows that it holds."""
    arguments, column = asked.arguments, counted.columns.get(str(asked.arguments.get("column")))
    if asked.type == "expect_column_values_to_not_be_null":
        return set(arguments) <= {"column", "mostly"} and column is not None and column.missing == 0
    if asked.type == "expect_column_values_to_match_regex":
        return column is not None and proof.matches(asked, column.missing, counted.rows)
    if not set(arguments) <= _LIMITS or any(isinstance(one, bool | str) for one in _limits(arguments)):
        return False
    if asked.type == "expect_table_row_count_to_be_between":
        return _within(arguments, counted.rows, counted.rows)
    if not isinstance(column, Numbers) or not _is_exact(column):
        return False
    match asked.type:
        case "expect_column_min_to_be_between":
            return _within(arguments, column.ends[0], column.ends[0])
        case "expect_column_max_to_be_between":
            return _within(arguments, column.ends[1], column.ends[1])
        case "expect_column_mean_to_be_between":
            mean = proof.total(str(arguments["column"])) / (counted.rows - column.missing)
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
