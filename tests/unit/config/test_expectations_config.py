"""expectations.yaml: its short form, its long form, and what is neither."""

import pytest

from evergreen.config.expectations_config import ExpectationConfig, ExpectationsConfig
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import ConfigInvalid

BETWEEN = "expect_column_values_to_be_between"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (
            {BETWEEN: {"column": "x", "min_value": 0}},
            ExpectationConfig(type=BETWEEN, arguments={"column": "x", "min_value": 0}),
        ),
        (
            {BETWEEN: {"column": "x", "severity": "critical"}},
            ExpectationConfig(type=BETWEEN, arguments={"column": "x"}, severity="critical"),
        ),
        ({BETWEEN: None}, ExpectationConfig(type=BETWEEN)),
        (
            {"type": BETWEEN, "arguments": {"column": "x"}, "severity": "info"},
            ExpectationConfig(type=BETWEEN, arguments={"column": "x"}, severity="info"),
        ),
    ],
)
def test_both_forms_are_read(written, read):
    assert ExpectationsConfig.model_validate({"labels": [written]}).labels == (read,)


def test_reading_leaves_what_was_written_as_it_was():
    written = {BETWEEN: {"column": "x", "severity": "info"}}
    ExpectationsConfig.model_validate({"rows": [written]})
    assert written == {BETWEEN: {"column": "x", "severity": "info"}}


@pytest.mark.parametrize(
    ("entry", "field", "found", "valid"),
    [
        (f"{BETWEEN}: {{column: x, severity: fatal}}", "rows.1.severity", "'fatal'", "'info', 'warning' or 'critical'"),
        ("column: x", "rows.1", "{'column': 'x'}", "{expect_…: {argument: value}}, one expectation an entry"),
        (BETWEEN, "rows.1", f"'{BETWEEN}'", "{expect_…: {argument: value}}, one expectation an entry"),
        (f"{{{BETWEEN}: {{column: x}}, expect_column_to_exist: {{column: x}}}}", "rows.1", BETWEEN, "one expectation"),
    ],
)
def test_a_mistake_names_file_entry_found_and_valid(entry, field, found, valid, write_folder):
    folder = write_folder(expectations=f"rows:\n  - {BETWEEN}: {{column: distance, min_value: 0}}\n  - {entry}\n")
    with pytest.raises(ConfigInvalid) as raised:
        load_model_folder(folder)
    assert str(raised.value).startswith(f"{folder / 'expectations.yaml'}: {field}: ")
    assert found in str(raised.value)
    assert valid in str(raised.value)
