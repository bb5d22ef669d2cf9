"""Asking the expectations of a batch, however many rows it has.

What statistics and a pass over the rows do not show to hold is asked of Great Expectations: of many rows in pieces,
where each row is told by itself, else of the columns that it reads at once.
"""

import itertools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from evergreen.checks.different_values import BY_VALUE
from evergreen.checks.expectations import Failure, check_expectations, in_order
from evergreen.checks.proving import Proof, find_uncounted, find_unproven
from evergreen.config.expectations_config import ExpectationConfig
from evergreen.config.fields import ColumnType
from evergreen.features.batch_statistics import Statistics
from evergreen.storage.content import ContentHash, content_hash
from evergreen.storage.frames import piece_to_frame, to_frame
from evergreen.storage.pieces import ROWS
from evergreen.storage.set_aside import SetAside

# Pieces that the library is asked of at once: being asked costs it as much as some 100,000 rows.
_AT_ONCE = 8
# Each row is told by itself, so that the library can be asked of some at a time.
BY_ROW = (
    *BY_VALUE,
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
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What came of asking.

    :param failures: by expectation; their rows are places.
    :param content: hash of the rows that were asked.
    :param statistics: of these, where there are many.
    """

    failures: list[Failure]
    content: str
    statistics: Statistics | None


def ask(
    rows: SetAside,
    left_out: np.ndarray,
    columns: Mapping[str, ColumnType],
    expected: tuple[ExpectationConfig, ...],
    path: Path,
) -> Asked:
    """Ask expectations of rows; where there are none, nothing is asked.

    :param left_out: (n,) places of the rows that are not asked, sorted.
    :param columns: declared columns.
    :param path: expectations.yaml, for messages.
    :raises ConfigInvalid: if an expectation is unknown, or cannot be asked of these columns.
    """
    count = rows.num_rows - len(left_out)
    if count <= ROWS:
        few, places = _join(rows.without(left_out))
        left = find_uncounted(few, columns, expected, path) if count else ()
        failures = check_expectations([to_frame(few)], left, path) if left else []
        failures = [_at(failure, places) for failure in in_order(failures, expected)]
        return Asked(failures, content_hash(few), None)
    counted, content, proof = Statistics(columns), ContentHash(), Proof(expected)
    for piece, _ in rows.without(left_out):
        counted.add(piece)
        content.update(piece)
        proof.add(piece)
    unproven = find_unproven(piece.schema, counted, proof, expected, path)
    failures = _ask_many(rows, left_out, counted, unproven, path)
    return Asked(in_order(failures, expected), content.hexdigest(), counted)


def _ask_many(
    rows: SetAside, left_out: np.ndarray, counted: Statistics, asked: tuple[ExpectationConfig, ...], path: Path
) -> list[Failure]:
    names, failures = list(counted.columns), list[Failure]()
    alone = tuple(one for one in asked if one.type in BY_ROW)
    if alone:
        failures += check_expectations(_frames(rows, left_out, counted, columns_of(alone, names)), alone, path)
    schema = tuple(one for one in asked if one.type in BY_SCHEMA)
    if schema:
        failures += check_expectations(itertools.islice(_frames(rows, left_out, counted, names), 1), schema, path)
    for one in asked:
        if one.type in (*BY_ROW, *BY_SCHEMA):
            continue
        read = columns_of((one,), names)
        _logger.info("%s: %s is asked of %s rows at once, of %s", path, one.type, f"{counted.rows:,}", ", ".join(read))
        whole = pa.concat_tables(piece.select(read) for piece, _ in rows.without(left_out))
        failures += check_expectations([to_frame(whole)], (one,), path)
    standing = np.delete(np.arange(rows.num_rows), left_out) if failures else left_out
    return [_at(failure, standing) for failure in failures]


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


def _frames(rows: SetAside, left_out: np.ndarray, counted: Statistics, names: list[str]) -> Iterator[pd.DataFrame]:
    """Some columns of many rows as the library is asked of them, each frame as it stands in the frame of them all."""
    nullable = [name for name in names if counted.columns[name].missing]
    held: list[pa.Table] = []
    for piece, _ in rows.without(left_out):
        held.append(piece.select(names))
        if len(held) == _AT_ONCE:
            yield piece_to_frame(pa.concat_tables(held), nullable)
            held = []
    if held:
        yield piece_to_frame(pa.concat_tables(held), nullable)


def _join(pieces: Iterator[tuple[pa.Table, np.ndarray]]) -> tuple[pa.Table, np.ndarray]:
    tables, places = zip(*pieces, strict=True)
    return pa.concat_tables(tables).combine_chunks(), np.concatenate(places)


def _at(failure: Failure, places: np.ndarray) -> Failure:
    return replace(failure, rows=places[failure.rows])
