"""What is asked of one row is what Great Expectations says of it in a batch."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evergreen.checks.expectations import check_expectations
from evergreen.config.expectations_config import ExpectationsConfig
from evergreen.serving.row_expectations import compile_rules

FRAME = pd.DataFrame(
    {
        "n": [0.0, 0.5, 1.0, 9.0, 60.0, 61.0, np.nan],
        "c": ["1", "2", "3", "", "12", "x", None],
        "t": pd.to_datetime(
            ["2023-12-31", "2024-01-01", "2024-01-01 00:00:01", "2024-02-01", "2025-01-01", None, None],
            format="ISO8601",
        ),
    }
)
ASKED = [
    {"expect_column_values_to_be_between": {"column": "n", "min_value": 0.5, "max_value": 60}},
    {"expect_column_values_to_be_between": {"column": "n", "min_value": 0.5, "strict_min": True}},
    {"expect_column_values_to_be_between": {"column": "n", "max_value": 60, "strict_max": True}},
    {"expect_column_values_to_be_between": {"column": "t", "min_value": "2024-01-01", "max_value": "2024-12-31"}},
    {"expect_column_values_to_be_in_set": {"column": "c", "value_set": ["1", "2"]}},
    {"expect_column_values_to_be_in_set": {"column": "n", "value_set": [0, 1, 9]}},
    {"expect_column_values_to_not_be_in_set": {"column": "c", "value_set": ["x"]}},
    {"expect_column_values_to_not_be_null": {"column": "n"}},
    {"expect_column_values_to_match_regex": {"column": "c", "regex": "^[12]"}},
]


@pytest.mark.parametrize("said", ASKED, ids=str)
def test_a_row_fails_where_it_would_fail_in_a_batch(said: dict[str, object]) -> None:
    expected = ExpectationsConfig.model_validate({"rows": [said]}).rows
    (rule,), unasked = compile_rules(expected)
    assert unasked == ()
    values = [None if pd.isna(v) else v for v in FRAME[rule.column].astype(object)]
    fails = [i for i, value in enumerate(values) if not rule.holds(value)]
    (failure,) = check_expectations([FRAME], expected, Path("expectations.yaml"))
    assert fails == list(failure.rows)


@pytest.mark.parametrize(
    "said",
    [
        {"expect_column_values_to_be_between": {"column": "n", "min_value": 0, "mostly": 0.9}},
        {"expect_column_values_to_be_between": {"column": "n", "min_value": 0, "row_condition": 'c == "1"'}},
        {"expect_column_values_to_be_between": {"column": "t", "min_value": "soon"}},
        {"expect_column_median_to_be_between": {"column": "n", "min_value": 0}},
        {"expect_column_values_to_be_increasing": {"column": "n"}},
        {"expect_table_row_count_to_be_between": {"min_value": 1}},
        {"expect_column_values_to_match_regex": {"column": "c", "regex": "("}},
    ],
    ids=str,
)
def test_what_needs_a_batch_is_named_and_not_asked(said: dict[str, object]) -> None:
    rules, unasked = compile_rules(ExpectationsConfig.model_validate({"rows": [said]}).rows)
    assert (rules, unasked) == ((), (next(iter(said)),))


def test_what_a_batch_is_only_noted_for_is_asked_of_no_row() -> None:
    said = {"expect_column_values_to_be_between": {"column": "n", "min_value": 0, "severity": "info"}}
    assert compile_rules(ExpectationsConfig.model_validate({"rows": [said]}).rows) == ((), ())
