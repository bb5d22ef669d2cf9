"""docs/configuration.md says what the contract says."""

import pytest

from tests.configuration_page import PAGE, describe_fields, put_fields


def test_the_page_has_the_contract_s_fields():
    page = PAGE.read_text(encoding="utf-8")
    assert put_fields(page) == page, "docs/configuration.md is not what the contract says; run: make docs"


@pytest.mark.parametrize(
    "row",
    [
        "| `title` | text | **needed** | ",
        "| `source.wait` | duration | `6h` | ",
        "| `labels.wait` | duration | `12h` | ",
        "| `rows.columns.NAME.renamed_from` | list | none | ",
        "| `gate.min_rows` | whole number, at least `1` | `100` | ",
        "| `gate.confidence` | percentage, above `50%`, below `100%` | none | ",
        "| `gate.slices.NAME.may_worsen` | percentage | `10%` | ",
        "| `check.html` | `never`, `not_ok`, `always` | `not_ok` | ",
        "| `training.window` | `auto`, `all` or whole number | `auto` | ",
        "| `retrain.any.every.n` | whole number, at least `1` | **needed** | ",
    ],
)
def test_a_row_says_field_valid_values_and_default(row):
    assert row in describe_fields()


def test_what_a_label_feed_shares_with_a_source_is_told_once():
    told = describe_fields()
    assert "`labels.delimiter`" not in told
    assert "`delimiter`, `encoding`, `nulls` are those of `source`." in told


def test_a_page_without_the_marks_is_refused():
    with pytest.raises(ValueError, match="expected the lines <!-- fields --> and <!-- /fields -->"):
        put_fields("# Configuration\n")
