"""Declared columns: which a file may lack, under which names and types they are read."""

import io
import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from evergreen.checks.validating import validate_files
from evergreen.config.fields import ColumnType
from evergreen.sources.parsing import parse_file
from evergreen.storage.content import content_hash
from tests.unit.checks.validated import (
    COLUMNS,
    FILES,
    HEADER,
    clean_ids,
    from_parquet,
    grown,
    held,
    rows_of,
    rules,
    sort,
)

# Each test twice: few rows, and many.
pytestmark = pytest.mark.usefixtures("by_statistics")


def test_a_missing_column_rejects_everything_naming_file_and_column():
    sound = parse_file("sound.csv", (HEADER + rows_of([1, 2])).encode(), FILES)
    renamed = parse_file("renamed.csv", b"id,at,distance,kind,note\n3,2024-01-01,1,a,n\n4\n", FILES)
    done = validate_files([sound, renamed], rules())
    assert done.rejected
    assert (done.clean.num_rows, done.quarantine.num_rows, done.rows_in) == (0, 4, 4)
    (reason,) = done.reasons
    assert (reason.file, reason.column) == ("renamed.csv", "x")
    assert reason.found == "no such column; undeclared ones are distance, note"
    assert done.left_out == ("distance", "note")
    assert set(held(done)) == {("sound.csv", 1), ("sound.csv", 2), ("renamed.csv", 1), ("renamed.csv", 2)}


def test_every_missing_column_is_named():
    done = validate_files([parse_file("f.csv", b"id,kind\n1,a\n", FILES)], rules())
    assert [(r.column, r.found) for r in done.reasons] == [
        ("at", "no such column; undeclared ones are none"),
        ("x", "no such column; undeclared ones are none"),
    ]


def test_undeclared_columns_are_left_out_and_listed():
    file = parse_file("f.csv", b"note,id,at,x,kind,fare\nn,1,2024-01-01,1,a,9\n", FILES)
    done = validate_files([file], rules())
    assert done.clean.read().column_names == list(COLUMNS)
    assert done.left_out == ("fare", "note")


def test_the_order_of_columns_in_a_file_does_not_matter():
    file = parse_file("f.csv", b"kind,x,at,id\na,1,2024-01-01,1\n", FILES)
    assert validate_files([file], rules()).content == sort("1,2024-01-01,1,a\n").content


def test_a_type_that_cannot_be_read_rejects_the_batch_naming_both():
    sink = io.BytesIO()
    rows = {"id": [1, 2], "at": ["2024-01-01"] * 2, "x": [[1.0], [2.0]], "kind": ["a", "b"]}
    parquet.write_table(pa.table(rows), sink)
    done = validate_files([parse_file("f.parquet", sink.getvalue(), FILES)], rules())
    assert (done.rejected, done.quarantine.num_rows) == (True, 2)
    (reason,) = done.reasons
    assert (reason.file, reason.column, reason.expectation) == ("f.parquet", "x", "declared types")
    assert "list" in reason.found
    assert "expected float" in reason.found


def test_parquet_and_csv_of_the_same_rows_are_the_same_bytes():
    sink = io.BytesIO()
    rows = {"id": [2, 1], "at": ["2024-01-01"] * 2, "x": pa.array([1.5, None]), "kind": [7, 8]}
    parquet.write_table(pa.table(rows), sink)
    typed = validate_files([parse_file("f.parquet", sink.getvalue(), FILES)], rules())
    assert content_hash(typed.clean.read()) == content_hash(sort("2,2024-01-01,1.5,7\n1,2024-01-01,,8\n").clean.read())


@pytest.mark.parametrize(
    ("kind", "clean"),
    [([1.0, 265.0], ["1", "265"]), ([1.0, None], ["1", None]), ([None, None], [None, None])],
    ids=str,
)
def test_whole_doubles_are_categories(kind, clean):
    assert from_parquet(kind=pa.array(kind, pa.float64())).clean.read().column("kind").to_pylist() == clean


def test_a_renamed_column_is_read_under_either_name_and_the_new_one_wins():
    kilometres = {"km": ColumnType(type="float", renamed_from=("x",))}
    by = grown(**kilometres)
    by.columns.pop("x")
    old = sort("1,2024-01-01,1.5,a\n2,2024-01-01,far,a\n", by=by)
    assert (old.clean.read().column("km").to_pylist(), old.left_out) == ([1.5], ())
    (kept,) = old.quarantine.read().to_pylist()
    assert (kept["column"], json.loads(kept["content"])["x"]) == ("km", "far")
    assert "'far' is not a finite number" in kept["reason"]
    text = "id,at,x,km,kind\n1,2024-01-01,1.5,2.5,a\n"
    both = validate_files([parse_file("f.csv", text.encode(), FILES)], by)
    assert (both.clean.read().column("km").to_pylist(), both.left_out) == ([2.5], ("x",))


def test_a_default_fills_a_column_that_a_file_does_not_have_and_no_null():
    by = grown(tolls=ColumnType(type="float", default=2.5))
    with_tolls = parse_file("g.csv", b"id,at,x,kind,tolls\n2,2024-01-01,1,a,\n3,2024-01-01,1,a,4\n", FILES)
    done = validate_files([parse_file("f.csv", (HEADER + rows_of([1])).encode(), FILES), with_tolls], by)
    assert done.clean.read().column("tolls").to_pylist() == [2.5, None, 4.0]
    assert not done.rejected
    assert [(r.expectation, r.column, r.file, r.rows) for r in done.reasons] == [("default", "tolls", "f.csv", 1)]


def test_without_a_default_a_file_that_lacks_a_column_is_rejected():
    done = sort(rows_of([1]), by=grown(tolls=ColumnType(type="float", renamed_from=("toll",))))
    assert done.rejected
    assert [(r.expectation, r.column) for r in done.reasons] == [("declared columns", "tolls")]


def test_a_number_beyond_the_declared_type_fails_its_row_alone():
    done = from_parquet(id=pa.array([2**63, 1], pa.uint64()))
    assert (clean_ids(done), done.quarantine.num_rows) == ([1], 1)
    (held_row,) = done.quarantine.read().to_pylist()
    assert (held_row["row"], held_row["column"]) == (1, "id")
    assert held_row["reason"].startswith("id: 9223372036854775808 is not a whole number from")


def test_a_moment_that_python_cannot_hold_fails_its_row_with_the_number_that_is_stored():
    done = from_parquet(at=pa.array([2**62, 0], pa.timestamp("us")))
    (held_row,) = done.quarantine.read().to_pylist()
    assert held_row["reason"] == "at: '4611686018427387904 (timestamp[us])' is not a date of the years 1 to 9999"
    assert json.loads(held_row["content"])["at"] == "4611686018427387904 (timestamp[us])"
