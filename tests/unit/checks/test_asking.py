"""Of many rows, in pieces, the expectations say what Great Expectations says of all of them at once."""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from great_expectations.expectations import core

from evergreen.checks import asking
from evergreen.checks.asking import BY_ROW, BY_SCHEMA, ask
from evergreen.checks.expectations import check_expectations
from evergreen.config.expectations_config import ExpectationsConfig
from evergreen.config.fields import ColumnType
from evergreen.storage import set_aside
from evergreen.storage.content import content_hash
from evergreen.storage.frames import to_frame
from evergreen.storage.set_aside import SetAside

PATH = Path("models/taxi/expectations.yaml")
COUNT, PIECE = 600, 50
KINDS = {
    "n": "float", "m": "float", "i": "integer", "gap": "integer", "c": "category", "b": "boolean", "at": "timestamp",
    "t": "string", "day": "string", "json": "string", "none": "float", "late": "string",
}  # fmt: skip
DECLARED = {name: ColumnType.model_validate({"type": kind}) for name, kind in KINDS.items()}
SCHEMA = '{"type": "object", "required": ["a"]}'
# By type: what holds, and what does not.
ASKED = {
    "values_to_be_between": [{"column": "n", "min_value": 0, "max_value": 1}, {"column": "n", "max_value": 0.5}],
    "values_to_be_in_set": [
        {"column": "t", "value_set": [f"text {n}" for n in range(COUNT)]},
        {"column": "t", "value_set": [f"text {n}" for n in range(COUNT - 3)]},
    ],
    "values_to_not_be_in_set": [{"column": "t", "value_set": ["x"]}, {"column": "t", "value_set": ["text 7"]}],
    "values_to_match_regex": [{"column": "t", "regex": r"^text \d+$"}, {"column": "t", "regex": "^text [0-8]+$"}],
    "values_to_not_match_regex": [{"column": "t", "regex": "x$"}, {"column": "t", "regex": "77"}],
    "values_to_match_regex_list": [
        {"column": "t", "regex_list": ["7$", "^t"]}, {"column": "t", "regex_list": ["7$", "^t"], "match_on": "all"},
    ],
    "values_to_not_match_regex_list": [{"column": "t", "regex_list": ["x$"]}, {"column": "t", "regex_list": ["7$"]}],
    "value_lengths_to_be_between": [{"column": "t", "max_value": 9}, {"column": "t", "max_value": 8}],
    "value_lengths_to_equal": [{"column": "day", "value": 10}, {"column": "t", "value": 8}],
    "values_to_be_null": [{"column": "none"}, {"column": "gap"}],
    "values_to_not_be_null": [{"column": "t"}, {"column": "late"}],
    "values_to_match_strftime_format": [
        {"column": "day", "strftime_format": "%Y-%m-%d"}, {"column": "t", "strftime_format": "%Y"},
    ],
    "values_to_be_dateutil_parseable": [{"column": "day"}, {"column": "t"}],
    "values_to_be_json_parseable": [{"column": "json"}, {"column": "t"}],
    "values_to_match_json_schema": [
        {"column": "json", "json_schema": {"type": "object"}},
        {"column": "json", "json_schema": {"type": "object", "required": ["a"]}},
    ],
    "pair_values_to_be_equal": [{"column_A": "n", "column_B": "n"}, {"column_A": "n", "column_B": "m"}],
    "pair_values_a_to_be_greater_than_b": [
        {"column_A": "m", "column_B": "n"}, {"column_A": "n", "column_B": "m"},
    ],
    "pair_values_to_be_in_set": [
        {"column_A": "c", "column_B": "b", "value_pairs_set": [[c, b] for c in "abc" for b in (True, False)]},
        {"column_A": "c", "column_B": "b", "value_pairs_set": [["a", True], ["b", False]]},
    ],
    "values_to_be_unique": [{"column": "i"}, {"column": "gap"}],
    "values_to_be_increasing": [{"column": "at"}, {"column": "i"}],
    "values_to_be_of_type": [{"column": "n", "type_": "float64"}, {"column": "gap", "type_": "int64"}],
    "mean_to_be_between": [{"column": "n", "min_value": 0.4, "max_value": 0.6}, {"column": "gap", "max_value": 1}],
    "median_to_be_between": [{"column": "n", "min_value": 0.4}, {"column": "n", "max_value": 0.4}],
    "min_to_be_between": [{"column": "i", "max_value": 0}, {"column": "i", "min_value": 1}],
    "max_to_be_between": [{"column": "gap", "min_value": 1}, {"column": "gap", "max_value": 1}],
    "sum_to_be_between": [{"column": "n", "min_value": 1}, {"column": "n", "max_value": 1}],
    "stdev_to_be_between": [{"column": "n", "max_value": 1}, {"column": "n", "min_value": 1}],
    "unique_value_count_to_be_between": [{"column": "c", "max_value": 3}, {"column": "c", "max_value": 2}],
    "distinct_values_to_be_in_set": [{"column": "c", "value_set": list("abc")}, {"column": "c", "value_set": ["a"]}],
    "to_exist": [{"column": "n"}, {"column": "gone"}],
}  # fmt: skip
OTHERS = {
    "expect_compound_columns_to_be_unique": [{"column_list": ["i", "c"]}, {"column_list": ["c", "b"]}],
    "expect_select_column_values_to_be_unique_within_record": [
        {"column_list": ["n", "m"]}, {"column_list": ["n", "m", "half"]},
    ],
    "expect_multicolumn_sum_to_equal": [
        {"column_list": ["i", "back"], "sum_total": COUNT}, {"column_list": ["n", "m"], "sum_total": 1},
    ],
    "expect_multicolumn_values_to_be_equal": [{"column_list": ["n", "n2"]}, {"column_list": ["n", "m"]}],
    "expect_table_row_count_to_be_between": [{"min_value": COUNT}, {"max_value": 3}],
    "expect_table_row_count_to_equal": [{"value": COUNT}, {"value": 3}],
    "expect_table_column_count_to_equal": [{"value": 15}, {"value": 3}],
    "expect_table_column_count_to_be_between": [{"min_value": 15}, {"max_value": 3}],
    "expect_table_columns_to_match_set": [{"column_set": ["n"], "exact_match": False}, {"column_set": ["n"]}],
    "expect_table_columns_to_match_ordered_list": [
        {"column_list": [*KINDS, "half", "n2", "back"]}, {"column_list": ["n"]},
    ],
}  # fmt: skip
ALL = {f"expect_column_{name}": arguments for name, arguments in ASKED.items()} | OTHERS
DECLARED |= {name: ColumnType(type="float") for name in ("half", "n2")} | {"back": ColumnType(type="integer")}


@pytest.fixture(scope="module")
def rows():
    draw = np.random.default_rng(5)
    n = draw.random(COUNT)
    i = np.arange(COUNT)
    draw.shuffle(i)
    m = n + 0.25 + draw.random(COUNT)
    return pa.table(
        {
            "n": n,
            "m": m,
            "i": i,
            # Some pieces have a null, others none.
            "gap": pa.array(draw.integers(0, 9, COUNT), mask=draw.random(COUNT) < 0.01),
            "c": pa.array(draw.choice(list("abc"), COUNT), mask=draw.random(COUNT) < 0.1),
            "b": pa.array(draw.random(COUNT) < 0.3, mask=draw.random(COUNT) < 0.01),
            "at": pa.array(np.arange(COUNT) * 1_000_000, pa.timestamp("us", tz="UTC")),
            "t": [f"text {number}" for number in range(COUNT)],
            "day": [f"2024-01-{1 + number % 28:02d}" for number in range(COUNT)],
            "json": ['{"a": 1}' if number % 100 else '{"b": 1}' for number in range(COUNT)],
            "none": pa.nulls(COUNT, pa.float64()),
            "late": pa.array([None] * (COUNT // 2) + ["late"] * (COUNT - COUNT // 2)),
            "half": np.where(i % 100 == 0, n, -n),
            "n2": n,
            "back": COUNT - i,
        }
    )


@pytest.fixture
def aside(rows, monkeypatch):
    """The rows in pieces of fifty, through the disk, of which the library is asked twice."""
    for module in (asking, set_aside):
        monkeypatch.setattr(module, "ROWS", PIECE)
    monkeypatch.setattr(asking, "_AT_ONCE", 6)
    kept = SetAside(rows.schema)
    for start in range(0, COUNT, PIECE):
        kept.append(rows.slice(start, PIECE))
    return kept


def expectations(*asked):
    return ExpectationsConfig.model_validate({"rows": [{kind: arguments} for kind, arguments in asked]}).rows


def told(failures):
    return sorted((one.expectation, str(one.column), one.severity, one.found, one.rows.tolist()) for one in failures)


def test_of_all_that_can_be_asked_the_library_and_pieces_say_the_same(rows, aside):
    conditional = {"row_condition": "c == 'a'", "condition_parser": "pandas"}
    mostly = [
        (kind, said[1] | {"mostly": share}) for kind, said in ALL.items() if kind in BY_ROW for share in (0.3, 0.999)
    ]
    expected = expectations(
        *((kind, arguments) for kind, said in ALL.items() for arguments in said),
        *mostly,
        ("expect_column_values_to_be_between", {"column": "n", "max_value": 0.9, **conditional}),
    )
    whole = check_expectations([to_frame(rows)], expected, PATH)
    assert len(whole) > len(ALL)
    out = np.array([], dtype=np.int64)
    asked = ask(aside, out, DECLARED, expected, PATH)
    assert told(asked.failures) == told(whole)
    assert asked.content == content_hash(rows)
    assert asked.statistics is not None
    assert asked.statistics.rows == COUNT


def test_each_of_what_is_asked_in_pieces_is_asked_here():
    assert set(BY_ROW) | set(BY_SCHEMA) <= set(ALL)
    assert set(ALL) <= {kind.expectation_type for kind in vars(core).values() if hasattr(kind, "expectation_type")}


def test_failing_rows_are_told_by_their_places_and_those_left_out_are_not_asked(rows, aside):
    out = np.array([0, 3, PIECE, 500])
    expected = expectations(
        ("expect_column_values_to_not_match_regex", {"column": "t", "regex": "^text (3|4|51|501)$"}),
        ("expect_column_values_to_be_unique", {"column": "c"}),
    )
    by_row, at_once = sorted(ask(aside, out, DECLARED, expected, PATH).failures, key=lambda one: len(one.rows))
    assert by_row.rows.tolist() == [4, 51, 501]
    standing = np.delete(np.arange(COUNT), out)
    known = standing[rows.column("c").is_valid().to_numpy()[standing]]
    assert at_once.rows.tolist() == known.tolist()


def test_what_is_asked_of_all_rows_at_once_is_said_with_its_columns(aside, caplog):
    caplog.set_level(logging.INFO, logger=asking.__name__)
    expected = expectations(("expect_column_stdev_to_be_between", {"column": "n", "min_value": 0}))
    assert ask(aside, np.array([], dtype=np.int64), DECLARED, expected, PATH).failures == []
    assert f"expect_column_stdev_to_be_between is asked of {COUNT:,} rows at once, of n" in caplog.text
