"""Which expectations hold of each different value of a column, and so of each row, by Great Expectations' word."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from evergreen.checks.expectations import find_holding
from evergreen.checks.results import BETWEEN
from evergreen.config.expectations_config import ExpectationConfig
from evergreen.features.batch_statistics import Column, Statistics
from evergreen.features.histograms import Categories, Moments, Numbers
from evergreen.storage.frames import to_frame

IN_SET = "expect_column_values_to_be_in_set"
# What holds of each different value holds of each row.
BY_VALUE = (
    BETWEEN,
    IN_SET,
    "expect_column_values_to_not_be_in_set",
    "expect_column_values_to_match_regex",
    "expect_column_values_to_not_match_regex",
    "expect_column_values_to_match_regex_list",
    "expect_column_value_lengths_to_be_between",
    "expect_column_value_lengths_to_equal",
)
PLAIN = {
    "column", "min_value", "max_value", "strict_min", "strict_max", "value_set", "regex", "regex_list", "match_on",
    "mostly", "value",
}  # fmt: skip
# Up to here each whole number is a float.
_EXACT = 2.0**53


def find_holding_by_value(
    schema: pa.Schema, counted: Statistics, expected: tuple[ExpectationConfig, ...], path: Path
) -> set[int]:
    """The ``id`` of each expectation that holds of all that a column holds.

    :param schema: of the rows.
    :param counted: their statistics.
    :param path: expectations.yaml, for messages.
    """
    by_value = [one for one in expected if _can_ask_by_value(one, counted)]
    if not by_value:
        return set()
    # Of different values a share says nothing of the rows: all of them have to hold.
    asked = tuple(
        one.model_copy(update={"arguments": {name: said for name, said in one.arguments.items() if name != "mostly"}})
        for one in by_value
    )
    holding = find_holding(to_frame(_different_values(schema, counted, by_value)), asked, path)
    return {id(one) for i, one in enumerate(by_value) if i in holding}


def is_exact(column: Numbers | Moments) -> bool:
    """Whether there are values, each of which a float tells."""
    return -_EXACT < column.ends[0] <= column.ends[1] < _EXACT


def _can_ask_by_value(asked: ExpectationConfig, counted: Statistics) -> bool:
    """Whether the different values of its column, or the outermost of them, are known."""
    column = counted.columns.get(str(asked.arguments.get("column")))
    if asked.type not in BY_VALUE or not set(asked.arguments) <= PLAIN or column is None:
        return False
    if isinstance(column, Categories):
        return not column.rest
    if not isinstance(column, Numbers | Moments) or not is_exact(column):
        return False
    return asked.type == BETWEEN or (isinstance(column, Numbers) and not column.shift)


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
