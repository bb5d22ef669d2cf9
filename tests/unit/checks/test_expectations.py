"""Expectations: what was found, in which rows; and settings that cannot be asked are told apart from bad data."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from evergreen.checks.expectations import check_expectations
from evergreen.config.expectations_config import ExpectationsConfig
from evergreen.errors import ConfigInvalid

PATH = Path("models/taxi/expectations.yaml")
BETWEEN = "expect_column_values_to_be_between"
BATCH = pd.DataFrame(
    {
        "id": [1, 2, 3, 4],
        "x": [1.0, None, 30.0, -4.0],
        "kind": ["a", "b", None, "c"],
        "at": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]),
    }
)


def check(*expected, batch=BATCH):
    return check_expectations([batch], ExpectationsConfig.model_validate({"rows": list(expected)}).rows, PATH)


@pytest.mark.parametrize(
    ("expected", "rows"),
    [
        ({BETWEEN: {"column": "x", "min_value": 0, "max_value": 10}}, [2, 3]),
        ({BETWEEN: {"column": "at", "max_value": "2024-01-02T00:00:00"}}, [2, 3]),
        ({"expect_column_values_to_be_in_set": {"column": "kind", "value_set": ["a", "b"]}}, [3]),
        ({"expect_column_values_to_not_be_null": {"column": "kind"}}, [2]),
        ({"expect_column_values_to_match_regex": {"column": "kind", "regex": "^[ab]$"}}, [3]),
        ({"expect_column_pair_values_a_to_be_greater_than_b": {"column_A": "id", "column_B": "x"}}, [0, 1, 2]),
        ({"expect_compound_columns_to_be_unique": {"column_list": ["id", "kind"]}}, None),
        ({BETWEEN: {"column": "x", "min_value": -4, "max_value": 30}}, None),
        ({BETWEEN: {"column": "x", "min_value": 0, "mostly": 0.5}}, None),
    ],
    ids=str,
)
def test_failing_rows_are_named_by_position(expected, rows):
    failures = check(expected)
    assert [failure.rows.tolist() for failure in failures] == ([] if rows is None else [rows])
    assert all(failure.severity == "warning" for failure in failures)


@pytest.mark.parametrize(
    ("expected", "found", "way_in"),
    [
        ({"expect_table_row_count_to_be_between": {"min_value": 5}}, "observed 4", "min_value: 4 or less"),
        (
            {"expect_column_median_to_be_between": {"column": "x", "min_value": 2}},
            "observed 1.0",
            "min_value: 1 or less",
        ),
        (
            {"expect_column_max_to_be_between": {"column": "x", "max_value": 2}},
            "observed 30.0",
            "max_value: 30 or more",
        ),
        ({"expect_column_median_to_be_between": {"column": "x", "max_value": 2}}, None, ""),
    ],
    ids=str,
)
def test_what_fails_as_a_whole_names_no_row_is_critical_and_says_how_to_let_it_in(expected, found, way_in):
    failures = check(expected)
    told = f"{found}; if this is right, say so in expectations.yaml: {way_in}, or severity: info to note it only"
    assert [failure.found for failure in failures] == ([] if found is None else [told])
    assert all(failure.severity == "critical" and not len(failure.rows) for failure in failures)


@pytest.mark.parametrize("severity", ["info", "warning", "critical"])
def test_a_declared_severity_stands(severity):
    (rows,) = check({BETWEEN: {"column": "x", "min_value": 0, "severity": severity}})
    (whole,) = check({"expect_table_row_count_to_be_between": {"min_value": 5, "severity": severity}})
    assert rows.severity == whole.severity == severity


def test_a_failure_tells_type_arguments_column_and_examples():
    (failure,) = check({BETWEEN: {"column": "x", "min_value": 0, "max_value": 10}})
    assert failure.expectation == f"{BETWEEN}(min_value 0, max_value 10)"
    assert failure.column == "x"
    assert failure.found == "2 rows, such as 30.0, -4.0"


def test_several_expectations_keep_their_own_rows():
    failures = check(
        {BETWEEN: {"column": "x", "max_value": 10}},
        {BETWEEN: {"column": "x", "min_value": 0}},
        {BETWEEN: {"column": "id", "max_value": 1}},
        {BETWEEN: {"column": "id", "max_value": 4}},
    )
    assert [(f.column, f.expectation, f.rows.tolist()) for f in failures] == [
        ("id", f"{BETWEEN}(max_value 1)", [1, 2, 3]),
        ("x", f"{BETWEEN}(max_value 10)", [2]),
        ("x", f"{BETWEEN}(min_value 0)", [3]),
    ]


def test_a_column_of_nulls_breaks_no_expectation_of_values():
    nothing = pd.DataFrame({"x": [None, None], "kind": [None, None]}).astype({"x": float})
    assert (
        check(
            {BETWEEN: {"column": "x", "min_value": 0}},
            {"expect_column_values_to_match_regex": {"column": "kind", "regex": "a"}},
            {"expect_column_values_to_be_in_set": {"column": "kind", "value_set": ["a"]}},
            batch=nothing,
        )
        == []
    )


def test_nothing_expected_finds_nothing():
    assert check() == []


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        (
            {"expect_column_values_to_be_betwen": {"column": "x", "min_value": 0}},
            "expect_column_values_to_be_betwen: unknown expectation; valid: expect_column_values_to_be_between",
        ),
        ({"expect_wonders": {"column": "x"}}, "expect_wonders: unknown expectation; valid: "),
        (
            {BETWEEN: {"column": "x", "minimum": 0, "max_value": 3}},
            "expect_column_values_to_be_between.minimum: unknown argument; valid: ",
        ),
        ({BETWEEN: {"min_value": 0}}, "expect_column_values_to_be_between.column: missing; this argument is needed"),
        ({BETWEEN: {"column": "x"}}, "min_value and max_value cannot both be None"),
        ({BETWEEN: {"column": "x", "min_value": "nought"}}, "min_value"),
        ({BETWEEN: None}, "expect_column_values_to_be_between.column: missing; this argument is needed"),
        ({BETWEEN: {"column": "fare", "min_value": 0}}, 'cannot be computed: Error: The column "fare"'),
        ({BETWEEN: {"column": "kind", "min_value": 0}}, "cannot be computed: "),
        ({"expect_column_mean_to_be_between": {"column": "kind", "min_value": 0}}, "cannot be computed: "),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_the_settings_fault(expected, told):
    with pytest.raises(ConfigInvalid) as raised:
        check({BETWEEN: {"column": "id", "min_value": 3}}, expected)
    assert str(raised.value).startswith(f"{PATH}: {next(iter(expected))}")
    assert told in str(raised.value)


def test_a_spawned_process_with_the_client_of_spark_connect_can_check():
    code = "import mlflow.pyfunc, evergreen.checks.expectations, pyspark; print('checked with', pyspark.__version__)"
    environment = {name: value for name, value in os.environ.items() if name != "SPARK_HOME"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout[:12]) == (0, "checked with"), done.stderr
