"""What statistics show to hold holds by the library, too; what does not hold is never shown to."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evergreen.checks.asking import columns_of
from evergreen.checks.expectations import check_expectations
from evergreen.checks.proving import Proof, find_uncounted, find_unproven
from evergreen.config.expectations_config import ExpectationsConfig
from evergreen.config.fields import ColumnType
from evergreen.errors import ConfigInvalid
from evergreen.features.batch_statistics import Statistics
from evergreen.storage.frames import to_frame

PATH = Path("models/taxi/expectations.yaml")
ROWS = 30_000
KINDS = {
    "n": "float", "few": "float", "i": "integer", "long": "integer", "c": "category", "b": "boolean",
    "at": "timestamp", "d": "date", "t": "string", "none": "float",
}  # fmt: skip
DECLARED = {name: ColumnType.model_validate({"type": kind}) for name, kind in KINDS.items()}
BETWEEN, SET = "expect_column_values_to_be_between", "expect_column_values_to_be_in_set"
MEDIAN = "expect_column_median_to_be_between"
# By each: what holds, what nearly does, and whether statistics can show the first.
ASKED = [
    (BETWEEN, {"column": "n", "min_value": 0, "max_value": 1}, {"max_value": 0.9999}, True),
    (BETWEEN, {"column": "n", "min_value": 0, "max_value": 1, "mostly": 0.9}, {"max_value": 0.8}, True),
    (BETWEEN, {"column": "few", "min_value": 1, "strict_max": True, "max_value": 7}, {"max_value": 6}, True),
    (BETWEEN, {"column": "i", "min_value": 0}, {"min_value": 1}, True),
    (BETWEEN, {"column": "long", "min_value": 2**60}, {"min_value": 2**60 + 9_000}, False),
    (BETWEEN, {"column": "at", "min_value": "2024-01-01"}, {"min_value": "2024-01-02"}, True),
    (BETWEEN, {"column": "d", "max_value": "2024-01-01"}, {"max_value": "2023-12-31"}, True),
    (BETWEEN, {"column": "none", "max_value": 1}, None, False),
    (SET, {"column": "c", "value_set": ["a", "b", "c"]}, {"value_set": ["a", "b"]}, True),
    (SET, {"column": "few", "value_set": [1, 2, 3, 4, 5, 6]}, {"value_set": [1, 2, 3, 4, 5]}, True),
    (SET, {"column": "b", "value_set": [True, False]}, {"value_set": [True]}, True),
    (SET, {"column": "i", "value_set": list(range(ROWS))}, {"value_set": list(range(ROWS - 1))}, False),
    ("expect_column_values_to_not_be_in_set", {"column": "c", "value_set": ["z"]}, {"value_set": ["a"]}, True),
    ("expect_column_values_to_match_regex", {"column": "c", "regex": "^[abc]$"}, {"regex": "^[ab]$"}, True),
    ("expect_column_values_to_match_regex", {"column": "t", "regex": "^text"}, {"regex": "7$"}, True),
    ("expect_column_value_lengths_to_equal", {"column": "c", "value": 1}, {"value": 2}, True),
    ("expect_column_values_to_not_be_null", {"column": "t"}, {"column": "n"}, True),
    ("expect_column_values_to_not_be_null", {"column": "i", "mostly": 0.5}, {"column": "c", "mostly": 0.9}, True),
    ("expect_column_mean_to_be_between", {"column": "n", "min_value": 0.4, "max_value": 0.6}, {"max_value": 0.4}, True),
    ("expect_column_min_to_be_between", {"column": "i", "max_value": 0}, {"max_value": -1}, True),
    ("expect_column_max_to_be_between", {"column": "i", "min_value": ROWS - 1}, {"min_value": ROWS}, True),
    ("expect_table_row_count_to_be_between", {"min_value": ROWS}, {"min_value": ROWS + 1}, True),
    (MEDIAN, {"column": "n", "min_value": 0.45, "max_value": 0.55}, {"max_value": 0.45}, True),
    (MEDIAN, {"column": "i", "min_value": (ROWS - 1) / 2 - 1}, {"min_value": (ROWS - 1) / 2 + 1}, False),
    (MEDIAN, {"column": "few", "min_value": 2.5}, {"max_value": 2.5}, True),
    (SET, {"column": "c", "value_set": ["a", "b"], "mostly": 0.6}, {"mostly": 0.7}, True),
    ("expect_column_values_to_be_unique", {"column": "i"}, {"column": "few"}, True),
    ("expect_column_values_to_be_unique", {"column": "t"}, {"column": "c"}, True),
    ("expect_column_values_to_be_unique", {"column": "long"}, {"column": "b"}, True),
    ("expect_compound_columns_to_be_unique", {"column_list": ["b", "t"]}, {"column_list": ["b", "few"]}, True),
    # Of several columns one with nulls is left to the library.
    ("expect_compound_columns_to_be_unique", {"column_list": ["c", "t"]}, {"column_list": ["c", "b"]}, False),
    (BETWEEN, {"column": "n", "max_value": 0.5, "row_condition": "few < 0", "condition_parser": "pandas"}, None, False),
]  # fmt: skip

# Some of each kind is shown only by different values, of which the library is asked.
COUNTED = {
    "expect_column_values_to_match_regex",
    "expect_column_values_to_not_be_null",
    "expect_column_mean_to_be_between",
    "expect_column_min_to_be_between",
    "expect_column_max_to_be_between",
    "expect_table_row_count_to_be_between",
    "expect_column_values_to_be_unique",
}


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(5)
    at = 1_704_067_200_000_000 + np.arange(ROWS) * 1_000_000
    return pa.table(
        {
            "n": pa.array(random.random(ROWS), mask=random.random(ROWS) < 0.1),
            "few": pa.array(random.integers(1, 7, ROWS).astype(float)),
            "i": pa.array(random.permutation(ROWS)),
            "long": pa.array(2**60 + random.permutation(ROWS)),
            "c": pa.array(random.choice(list("abc"), ROWS), mask=random.random(ROWS) < 0.2),
            "b": pa.array(random.random(ROWS) < 0.3),
            "at": pa.array(at, pa.timestamp("us", tz="UTC")),
            "d": pa.array((at // 86_400_000_000).astype(np.int32), pa.date32()),
            "t": pa.array([f"text {n}" for n in range(ROWS)]),
            "none": pa.nulls(ROWS, pa.float64()),
        }
    )


def expectations(*asked):
    return ExpectationsConfig.model_validate({"rows": [{kind: arguments} for kind, arguments in asked]}).rows


def unproven(rows, counted, expected):
    proof = Proof(expected)
    for start in range(0, ROWS, 7_000):
        proof.add(rows.slice(start, 7_000))
    return find_unproven(rows.schema, counted, proof, expected, PATH)


def test_what_is_shown_to_hold_holds_and_what_does_not_is_left_to_the_library(rows):
    counted, frame = Statistics.of([rows], DECLARED), to_frame(rows)
    holding = expectations(*((kind, arguments) for kind, arguments, _, _ in ASKED))
    assert check_expectations([frame], holding, PATH) == []
    left = unproven(rows, counted, holding)
    assert list(left) == [one for one, (*_, shown) in zip(holding, ASKED, strict=True) if not shown]
    failing = expectations(*((kind, arguments | change) for kind, arguments, change, _ in ASKED if change))
    failed = check_expectations([frame], failing, PATH)
    assert len(failed) == len(failing)
    assert unproven(rows, counted, failing) == failing
    # Of few rows no library is asked to show it.
    left = find_uncounted(rows, DECLARED, holding, PATH)
    assert {one.type for one in holding} - {one.type for one in left} == COUNTED
    assert find_uncounted(rows, DECLARED, failing, PATH) == failing
    # Alone and on their own columns they fail as they do together.
    for one in failing:
        names = columns_of((one,), rows.column_names)
        told = check_expectations([to_frame(rows.select(names))], (one,), PATH)
        same = {(other.expectation, other.column, other.found): other.rows.tolist() for other in failed}
        assert same[told[0].expectation, told[0].column, told[0].found] == told[0].rows.tolist()


def test_an_expectation_that_is_a_mistake_is_told_whatever_else_holds(rows):
    counted = Statistics.of([rows], DECLARED)
    for wrong in ({"min_valu": 1}, {"column": "n", "min_value": [1]}):
        with pytest.raises(ConfigInvalid):
            unproven(rows, counted, expectations((BETWEEN, wrong)))
    compared = expectations((BETWEEN, {"column": "c", "min_value": 1}))
    assert unproven(rows, counted, compared) == compared


def test_only_the_columns_that_are_read_are_made_a_frame_of(rows):
    names = rows.column_names
    assert columns_of(expectations((BETWEEN, {"column": "n", "max_value": 1})), names) == ["n"]
    pair = ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "n", "column_B": "few"})
    assert columns_of(expectations(pair), names) == ["n", "few"]
    # A condition may name any column; to tell how many rows there are, one of them is enough.
    assert columns_of(expectations(ASKED[-1][:2]), ["id", *names]) == ["n", "few"]
    assert columns_of(expectations(("expect_table_row_count_to_equal", {"value": 10})), names) == ["n"]
    for whole in (("expect_table_column_count_to_equal", {"value": 10}), (BETWEEN, {"column": "gone"})):
        assert columns_of(expectations(whole), names) == names
