"""Which expectations hold, as statistics and one pass over the rows show: those need not be asked of each row.

What is not shown to hold is asked of Great Expectations as ever: a failure, its rows and its words are the library's.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.checks import results
from evergreen.checks.different_values import IN_SET, PLAIN, find_holding_by_value, is_exact
from evergreen.checks.expectations import require_known
from evergreen.config.expectations_config import ExpectationConfig
from evergreen.config.fields import ColumnType
from evergreen.features.batch_statistics import Column, Statistics
from evergreen.features.histograms import Categories, Numbers
from evergreen.storage.content import row_hashes
from evergreen.storage.set_aside import Repeats

_NOT_NULL = "expect_column_values_to_not_be_null"
_REGEX = "expect_column_values_to_match_regex"
_MEAN = "expect_column_mean_to_be_between"
# By what says which columns are not to repeat themselves.
_UNIQUE = {"expect_column_values_to_be_unique": "column", "expect_compound_columns_to_be_unique": "column_list"}
_LIMITS = {"column", "min_value", "max_value"}
# Patterns that mean at most as much to Arrow as to Python: letters and digits, classes, groups, repetitions, ends.
_LETTER = r"""[A-Za-z0-9 _\-/:,;@#%&=<>~!"']|\\[.^$*+?()\[\]{}|/\\-]"""
_PATTERN = re.compile(
    rf"""(?:{_LETTER}|\\[dws]|[.^$|)]|\((?:\?:|(?!\?))|[*+?]\??|\{{\d+(?:,\d*)?\}}|\[\^(?:{_LETTER})+\]|\[(?:{_LETTER}|\\[dws])+\])*"""
)
# Of the largest value: sums of ten million floats in another order differ by less.
_ROUNDING = 1e-8


class Proof:
    """What rows, piece by piece, show that their statistics do not tell.

    :param expected: what may be asked.
    """

    def __init__(self, expected: tuple[ExpectationConfig, ...]) -> None:
        self._sums = {str(one.arguments.get("column")): 0.0 for one in expected if one.type == _MEAN}
        self._patterns = {
            id(one): one for one in expected
            if one.type == _REGEX and set(one.arguments) <= PLAIN and _means_the_same(str(one.arguments.get("regex")))
        }  # fmt: skip
        self._repeats = {id(one): (one, Repeats()) for one in expected if set(one.arguments) == {_UNIQUE.get(one.type)}}
        self._rows = 0

    def add(self, rows: pa.Table) -> None:
        """Look at rows."""
        for name in self._sums:
            if name in rows.column_names and _is_number(rows.schema.field(name).type):
                self._sums[name] += pc.sum(rows.column(name).cast(pa.float64(), safe=False)).as_py() or 0.0
        for one in list(self._patterns.values()):
            if not _match(rows, one.arguments):
                del self._patterns[id(one)]
        for one, repeats in list(self._repeats.values()):
            names = _not_to_repeat(one)
            if not {*names} <= {*rows.column_names}:
                del self._repeats[id(one)]
                continue
            known = rows.select(names).drop_null()
            repeats.add(row_hashes(known, "unique"), np.arange(self._rows, self._rows + known.num_rows))
        self._rows += rows.num_rows

    def total(self, column: str) -> float:
        """The sum of the numbers of a column of which a mean is expected."""
        return self._sums[column]

    def matches(self, asked: ExpectationConfig, missing: int, rows: int) -> bool:
        """Whether each text matched, and there was one."""
        return id(asked) in self._patterns and missing < rows

    def is_unique(self, asked: ExpectationConfig) -> bool:
        """Whether no row without a null has the hash of another, so that none has its values."""
        return id(asked) in self._repeats and next(self._repeats[id(asked)][1].groups(), None) is None


def _not_to_repeat(asked: ExpectationConfig) -> list[str]:
    """The columns that together name each row once."""
    said = asked.arguments[_UNIQUE[asked.type]]
    return [str(name) for name in said] if isinstance(said, list) else [str(said)]


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
    """The expectations of many rows that may not hold.

    :param schema: of the rows.
    :param counted: their statistics.
    :param proof: what all of them have shown.
    :param path: expectations.yaml, for messages.
    :raises ConfigInvalid: if an expectation is unknown or has unknown arguments.
    """
    require_known(expected, path)
    left = tuple(one for one in expected if not _is_counted(one, schema, counted, proof))
    holding = find_holding_by_value(schema, counted, left, path)
    return tuple(one for one in left if id(one) not in holding)


def find_uncounted(
    rows: pa.Table, declared: Mapping[str, ColumnType], expected: tuple[ExpectationConfig, ...], path: Path
) -> tuple[ExpectationConfig, ...]:
    """The same of few rows: the library takes longer to be asked once than these take to be counted.

    :param declared: their columns.
    """
    require_known(expected, path)
    names = [name for one in expected for name in _counted_columns(one)]
    counted, proof = Statistics({name: declared[name] for name in names if name in declared}), Proof(expected)
    counted.add(rows)
    proof.add(rows)
    return tuple(one for one in expected if not _is_counted(one, rows.schema, counted, proof))


def _counted_columns(asked: ExpectationConfig) -> list[str]:
    return _not_to_repeat(asked) if _UNIQUE.get(asked.type) in asked.arguments else [str(asked.arguments.get("column"))]


def _is_counted(asked: ExpectationConfig, schema: pa.Schema, counted: Statistics, proof: Proof) -> bool:
    """Whether counts, outermost values, a mean or a median show that it holds."""
    arguments, column = asked.arguments, counted.columns.get(str(asked.arguments.get("column")))
    given = set(arguments)
    if asked.type == _NOT_NULL and given <= {"column", "mostly"} and column is not None:
        return _are_enough(counted.rows, column.missing, arguments)
    if asked.type == IN_SET and given == {"column", "value_set"} | given & {"mostly"}:
        return _are_named(asked, schema, column)
    if asked.type == _REGEX:
        return column is not None and proof.matches(asked, column.missing, counted.rows)
    if asked.type in _UNIQUE:
        return proof.is_unique(asked) and _are_told_apart(_not_to_repeat(asked), counted)
    limits = [arguments.get(name) for name in ("min_value", "max_value")]
    if not given <= _LIMITS or not all(isinstance(one, int | float) for one in limits if one is not None):
        return False
    if limits == [None, None] or any(isinstance(one, bool) for one in limits):
        return False
    if asked.type == "expect_table_row_count_to_be_between":
        return _within(limits, (counted.rows, counted.rows))
    if not isinstance(column, Numbers) or not is_exact(column):
        return False
    return _within(limits, _bounds_of(asked, column, proof))


def _are_enough(considered: int, unexpected: int, arguments: dict[str, Any]) -> bool:
    """Whether so few rows are unexpected as may be, as the library reckons."""
    mostly = arguments.get("mostly", 1)
    return unexpected == 0 or (
        isinstance(mostly, int | float) and (considered - unexpected) / considered >= float(mostly)
    )


def _are_named(asked: ExpectationConfig, schema: pa.Schema, column: Column | None) -> bool:
    """Whether texts are of a set of texts."""
    wanted, name = asked.arguments["value_set"], str(asked.arguments["column"])
    if not isinstance(column, Categories) or column.rest or not isinstance(wanted, list | tuple | set):
        return False
    if not pa.types.is_string(schema.field(name).type) or not all(isinstance(one, str) for one in wanted):
        return False
    unexpected = sum(count for value, count in column.counts.items() if value not in wanted)
    return _are_enough(sum(column.counts.values()), unexpected, asked.arguments)


def _are_told_apart(names: list[str], counted: Statistics) -> bool:
    """Whether what differs here differs to pandas: not whole numbers beyond a float's, beside a null.

    Of several columns none may have a null: the library compares such rows, too.
    """
    columns = [counted.columns.get(name) for name in names]
    return all(
        one is not None and (not one.missing or (len(names) == 1 and (not isinstance(one, Numbers) or is_exact(one))))
        for one in columns
    )


def _bounds_of(asked: ExpectationConfig, column: Numbers, proof: Proof) -> tuple[float, float]:
    """Between which numbers lies what is to be within limits; nowhere, where that is not known."""
    low, high = column.ends
    # Sums, and means of two, may be rounded otherwise.
    rounding = _ROUNDING * float(np.abs(column.ends).max())
    match asked.type:
        case results.BETWEEN:
            return low, high
        case "expect_column_min_to_be_between":
            return low, low
        case "expect_column_max_to_be_between":
            return high, high
        case "expect_column_mean_to_be_between":
            mean = proof.total(str(asked.arguments["column"])) / column.count
            return mean - rounding, mean + rounding
        case "expect_column_median_to_be_between":
            least, most = column.around((column.count - 1) // 2)[0], column.around(column.count // 2)[1]
            return least - rounding, most + rounding
        case _:
            return -np.inf, np.inf


def _within(limits: list[Any], bounds: tuple[float, float]) -> bool:
    (least, most), (low, high) = limits, bounds
    return (least is None or least <= low) and (most is None or high <= most)
