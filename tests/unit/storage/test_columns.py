"""Rows that were sealed under one contract, read under another."""

from datetime import date

import pyarrow as pa
import pytest

from evergreen.config.fields import ColumnType
from evergreen.storage.columns import arrow_type, fill, kinds_of, lacking, read_as

ROWS = pa.table({"id": [1, 2], "x": [1.5, None], "kind": ["a", "b"], "later": pa.nulls(2, pa.int64())})
HELD = {"id": "integer", "x": "float", "kind": "string"}


def column(kind, *past, **default):
    return ColumnType(type=kind, renamed_from=past, **default)


@pytest.mark.parametrize(
    ("declared", "gone"),
    [
        ({"x": column("float")}, []),
        ({"kind": column("category")}, []),
        ({"kind": column("string")}, []),
        ({"y": column("float", "x")}, []),
        ({"z": column("float", "y", "x")}, []),
        ({"y": column("float")}, ["y (float)"]),
        ({"y": column("float", default=0)}, []),
        ({"y": column("float", default=None)}, []),
        ({"x": column("integer")}, ["x (integer)"]),
        ({"y": column("integer", "x")}, ["y (integer)"]),
        ({"y": column("integer", "x", default=0)}, ["y (integer)"]),
        ({"later": column("integer")}, ["later (integer)"]),
    ],
)
def test_what_rows_lack_is_named_with_its_type(declared, gone):
    assert lacking(declared, HELD) == gone


def test_a_null_stays_and_an_absent_column_takes_its_default():
    read = read_as(ROWS, {"y": column("float", "x", default=9), "later": column("integer", default=7)}, HELD)
    assert read.to_pydict() == {"y": [1.5, None], "later": [7, 7]}
    assert read.schema.types == [pa.float64(), pa.int64()]


def test_the_own_name_wins_over_the_one_before():
    held = HELD | {"old": "float"}
    rows = ROWS.append_column("old", pa.array([8.0, 8.0]))
    assert read_as(rows, {"x": column("float", "old")}, held).to_pydict() == {"x": [1.5, None]}


def test_rows_sealed_before_records_told_their_columns_are_read_by_what_is_there():
    declared = {"key": column("integer", "id"), "later": column("integer", default=7), "new": column("date")}
    read = read_as(ROWS, declared, {})
    assert read.to_pydict() == {"key": [1, 2], "later": [None, None], "new": [None, None]}
    assert read.schema.field("new").type == pa.date32()


def test_a_default_fills_as_it_is_stored():
    declared = column("date", default="2024-01-31")
    assert fill(declared, 2).to_pylist() == [date(2024, 1, 31)] * 2
    assert fill(declared, 0).type == arrow_type(declared)
    assert fill(column("category", default=None), 1).to_pylist() == [None]


def test_a_record_keeps_stored_types():
    assert kinds_of({"a": column("category"), "b": column("float")}) == {"a": "string", "b": "float"}
