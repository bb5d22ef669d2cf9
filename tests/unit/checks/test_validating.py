"""Sorting: every row that arrived is clean or in quarantine, with its reason."""

import io
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from evergreen.checks.validating import reject, validate_files
from evergreen.config.fields import ColumnType
from evergreen.records import Reason
from evergreen.sources.parsing import parse_file
from evergreen.sources.tables import ParsedFile, TornRow
from evergreen.storage.content import content_hash
from tests.unit.checks.validated import (
    FILES,
    HEADER,
    clean_ids,
    grown,
    held,
    rows_of,
    rules,
    sort,
)

# Each test twice: few rows, and many.
pytestmark = pytest.mark.usefixtures("by_statistics")

BETWEEN = "expect_column_values_to_be_between"

ROW_COUNT = "expect_table_row_count_to_be_between"


def test_clean_rows_are_cast_and_sorted_by_key():
    done = sort(rows_of([3, 1]), rows_of([2]))
    assert clean_ids(done) == [1, 2, 3]
    assert done.clean.read().schema == pa.schema(
        [("id", pa.int64()), ("at", pa.date32()), ("x", pa.float64()), ("kind", pa.string())]
    )
    assert (done.quarantine.num_rows, done.rejected, done.reasons) == (0, False, ())


def test_each_failing_row_goes_to_quarantine_with_its_reason():
    done = sort(
        "1,2024-01-01,1.5,a\n2,2024-01-01,much,a\n3,2024-02-31,1,a\n,2024-01-01,1,a\n4,,1,a\n5,2024-01-01,1\n"
        "6,2024-01-01,1,a,b\nx,y,z,a\n"
    )
    assert clean_ids(done) == [1]
    assert held(done) == {
        ("f0.csv", 2): ("reads as float", "x"),
        ("f0.csv", 3): ("reads as date", "at"),
        ("f0.csv", 4): ("not null", "id"),
        ("f0.csv", 5): ("not null", "at"),
        ("f0.csv", 6): ("whole rows", None),
        ("f0.csv", 7): ("whole rows", None),
        ("f0.csv", 8): ("reads as integer", "id"),
    }
    reasons = {row["row"]: row["reason"] for row in done.quarantine.read().to_pylist()}
    assert reasons[2] == "x: 'much' is not a finite number"
    assert reasons[6] == "row has 3 fields where the header has 4"
    assert reasons[8] == (
        "id: 'x' is not a whole number from -9223372036854775808 to 9223372036854775807; at: 'y' is not a date "
        "written as ISO8601, from 1678 to 2261; "
        "x: 'z' is not a finite number"
    )


def test_quarantine_keeps_the_row_as_it_came():
    done = sort(' 1 ,2024-01-01,"1,5",007\n2,2024-01-01\n')
    contents = [json.loads(row["content"]) for row in done.quarantine.read().to_pylist()]
    assert contents == [{"id": " 1 ", "at": "2024-01-01", "x": "1,5", "kind": "007"}, "2,2024-01-01"]


def test_a_null_where_none_is_required_is_no_fault():
    done = sort("1,2024-01-01,,\n", by=rules())
    assert done.clean.read().to_pylist()[0]["x"] is None
    done = sort("1,2024-01-01,,\n", by=rules(required=("id", "at", "x")))
    assert held(done) == {("f0.csv", 1): ("not null", "x")}


def test_declared_tokens_are_nulls():
    done = sort("1,2024-01-01,NA,NA\nNA,2024-01-01,1,a\n", by=rules(nulls=("NA",)))
    assert done.clean.read().to_pylist()[0]["kind"] is None
    assert held(done) == {("f0.csv", 2): ("not null", "id")}


def test_reasons_are_counted_with_the_first_example():
    done = sort("1,2024-01-01,a,a\n2,2024-01-01,b,a\n3,2024-01-01,3,a\n4\n5\n")
    assert [(r.expectation, r.column, r.rows, r.found) for r in done.reasons] == [
        ("reads as float", "x", 2, "'a' is not a finite number"),
        ("whole rows", None, 1, "row 4 has 1 fields where the header has 4"),
        ("whole file", None, 1, "row 5, the last one, has 1 fields where the header has 4: the file may be cut"),
    ]


DUPLICATES = {
    "equal copies keep the first": (["1,2024-01-01,1,a\n1,2024-01-01,1,a\n1,2024-01-01,1,a\n"], [1], [2, 3]),
    "equal as values, not as text": (["1,2024-01-01,1.0,a\n01,2024-01-01,1,a\n"], [1], [2]),
    "equal with nulls": (["1,2024-01-01,,\n1,2024-01-01,,\n"], [1], [2]),
    "differing copies all go": (["1,2024-01-01,1,a\n1,2024-01-01,2,a\n2,2024-01-01,1,a\n"], [2], [1, 2]),
    "differing by a null": (["1,2024-01-01,1,a\n1,2024-01-01,,a\n"], [], [1, 2]),
    "two equal, one other": (["1,2024-01-01,1,a\n1,2024-01-01,1,a\n1,2024-01-01,2,a\n"], [], [1, 2, 3]),
    "a copy that does not cast": (["1,2024-01-01,1,a\n1,2024-01-01,x,a\n"], [1], [2]),
    "null keys are no copies": ([",2024-01-01,1,a\n,2024-01-01,1,a\n1,2024-01-01,1,a\n"], [1], [1, 2]),
}


@pytest.mark.parametrize("case", DUPLICATES)
def test_copies_of_a_key(case):
    texts, clean, quarantined = DUPLICATES[case]
    done = sort(*texts)
    assert clean_ids(done) == clean
    assert sorted(row for _, row in held(done)) == quarantined


def test_copies_are_found_across_files():
    done = sort(rows_of([1, 2]), rows_of([2, 3]), rows_of([3], x="9"))
    assert clean_ids(done) == [1, 2]
    assert held(done) == {
        ("f1.csv", 1): ("unique by id", "id"),
        ("f1.csv", 2): ("unique by id", "id"),
        ("f2.csv", 1): ("unique by id", "id"),
    }


def test_a_key_of_several_columns_is_one_key():
    by = rules(key=("id", "kind"))
    done = sort("1,2024-01-01,1,b\n1,2024-01-01,1,a\n1,2024-01-01,1,a\n", by=by)
    assert [(row["id"], row["kind"]) for row in done.clean.read().to_pylist()] == [(1, "a"), (1, "b")]
    assert held(done) == {("f0.csv", 3): ("unique by id, kind", "id")}


def test_large_keys_are_told_apart():
    keys = [2**53, 2**53 + 1, 2**53 + 2]
    assert clean_ids(sort(rows_of(keys))) == keys
    assert clean_ids(sort(rows_of(keys) + ",2024-01-01,1,a\n")) == keys


def test_copies_that_differ_in_a_large_number_are_no_equal_copies():
    by = grown(trip=ColumnType(type="integer"))
    lines = [f"{i},2024-01-01,1,a,{trip}\n" for i, trip in ((1, 2**53), (1, 2**53 + 1), (2, ""))]
    file = parse_file("f.csv", f"id,at,x,kind,trip\n{''.join(lines)}".encode(), FILES)
    assert clean_ids(validate_files([file], by)) == [2]


def test_the_order_of_rows_does_not_change_the_clean_bytes():
    random = np.random.default_rng(5)
    lines = [f"{i},2024-01-{1 + i % 28:02d},{i / 7},k{i % 3}\n" for i in range(60)]
    lines += lines[:5]
    lines += ["61,2024-01-01,x,a\n", "7,2024-01-01,0.5,other\n", "8,2024-01-01\n", ",2024-01-01,1,a\n"]
    by = rules({BETWEEN: {"column": "x", "max_value": 8}})
    hashes = set()
    for _ in range(5):
        shuffled = [lines[i] for i in random.permutation(len(lines))]
        cut = int(random.integers(1, len(lines)))
        done = sort("".join(shuffled[:cut]), "".join(shuffled[cut:]), by=by)
        assert done.clean.num_rows == 56
        hashes.add(content_hash(done.clean.read()))
    assert len(hashes) == 1


@pytest.mark.parametrize(("share", "rejected"), [(0.5, False), (0.499, True), (1.0, False), (0.0, True)], ids=str)
def test_too_many_failing_rows_reject_the_batch(share, rejected):
    done = sort("1,2024-01-01,1,a\n2,2024-01-01,x,a\n3,2024-01-01,1,a\n4\n", by=rules(max_quarantined=share))
    assert done.rejected is rejected
    assert (done.clean.num_rows, done.quarantine.num_rows) == ((0, 4) if rejected else (2, 2))
    limits = [r for r in done.reasons if r.expectation == "max_quarantined"]
    assert [r.found for r in limits] == ([f"2 of 4 rows failed, more than {share:.0%}"] if rejected else [])


def test_a_rejected_batch_still_says_what_is_wrong_with_single_rows():
    done = sort("1,2024-01-01,1,a\n2,2024-01-01,x,a\n", by=rules(max_quarantined=0.1))
    assert [r.expectation for r in done.reasons] == ["max_quarantined", "reads as float"]
    assert held(done) == {("f0.csv", 1): ("max_quarantined", None), ("f0.csv", 2): ("reads as float", "x")}


@pytest.mark.parametrize("texts", [[""], ["", ""]], ids=["one file", "two files"])
def test_no_rows_at_all_reject_the_batch(texts):
    done = sort(*texts)
    assert done.rejected
    assert done.reasons[0].found == "no rows in " + ", ".join(f"f{i}.csv" for i in range(len(texts)))


def test_an_empty_file_beside_a_full_one_is_no_fault():
    done = sort("", rows_of([1]))
    assert (done.rejected, clean_ids(done)) == (False, [1])


FIVE = "".join(f"{i},2024-01-01,{i},a\n" for i in range(1, 6))


def with_severity(arguments, severity):
    return arguments | ({"severity": severity} if severity else {})


@pytest.mark.parametrize(
    ("severity", "clean", "rejected"),
    [(None, [1, 2, 3], False), ("warning", [1, 2, 3], False), ("info", [1, 2, 3, 4, 5], False), ("critical", [], True)],
)
def test_what_an_expectation_of_rows_does_follows_its_severity(severity, clean, rejected):
    done = sort(FIVE, by=rules({BETWEEN: with_severity({"column": "x", "max_value": 3}, severity)}))
    assert done.rejected is rejected
    assert done.clean.num_rows == len(clean)
    assert rejected or clean_ids(done) == clean
    (reason,) = done.reasons
    assert (reason.expectation, reason.column, reason.rows) == (f"{BETWEEN}(max_value 3)", "x", 2)
    way_in = "; if this is right, say so in expectations.yaml: mostly: 0.60 or less, or severity: info to note it only"
    assert reason.found == f"2 rows, such as 4.0, 5.0{way_in if rejected else ''}"


@pytest.mark.parametrize(
    ("severity", "rejected"), [(None, True), ("critical", True), ("warning", False), ("info", False)]
)
def test_what_an_expectation_of_the_batch_does_follows_its_severity(severity, rejected):
    done = sort(FIVE, by=rules({ROW_COUNT: with_severity({"max_value": 3}, severity)}))
    assert done.rejected is rejected
    assert done.clean.num_rows == (0 if rejected else 5)
    (reason,) = done.reasons
    assert (reason.expectation, reason.column, reason.rows) == (f"{ROW_COUNT}(max_value 3)", None, 0)
    way_in = "; if this is right, say so in expectations.yaml: max_value: 5 or more, or severity: info to note it only"
    assert reason.found == f"observed 5{way_in if rejected else ''}"


def test_a_warning_that_names_no_row_is_noted():
    done = sort(FIVE, by=rules({"expect_column_values_to_be_of_type": {"column": "x", "type_": "int64"}}))
    assert done.clean.num_rows == 5
    assert [(reason.column, reason.rows) for reason in done.reasons] == [("x", 0)]


def test_expectations_are_asked_of_the_rows_that_stand():
    by = rules({ROW_COUNT: {"max_value": 2}}, {BETWEEN: {"column": "x", "max_value": 2}})
    done = sort("1,2024-01-01,x,a\n2,2024-01-01,9,a\n2,2024-01-01,9,a\n,2024-01-01,9,a\n3,2024-01-01,1,a\n", by=by)
    assert not done.rejected
    assert clean_ids(done) == [3]
    assert held(done) == {
        ("f0.csv", 1): ("reads as float", "x"),
        ("f0.csv", 2): (f"{BETWEEN}(max_value 2)", "x"),
        ("f0.csv", 3): ("unique by id", "id"),
        ("f0.csv", 4): ("not null", "id"),
    }


def test_where_no_row_stands_no_expectation_is_asked():
    done = sort("1,2024-01-01,x,a\n", by=rules({ROW_COUNT: {"min_value": 1}}))
    assert (done.rejected, done.clean.num_rows, done.quarantine.num_rows) == (False, 0, 1)


def test_unreadable_files_are_kept_line_by_line_beside_the_others():
    lines = tuple(TornRow(i, text, "the file cannot be read") for i, text in enumerate(["id", "\\xe9"]))
    unreadable = ParsedFile("bad.csv", pa.table({}), np.array([], dtype=np.int64), lines)
    whole = [Reason(expectation="readable file", found="line 2: byte 0xe9 is not utf-8", rows=0, file="bad.csv")]
    sound = parse_file("sound.csv", (HEADER + rows_of([1])).encode(), FILES)
    done = reject([unreadable, sound], whole)
    assert (done.rejected, done.rows_in, done.reasons) == (True, 3, tuple(whole))
    contents = [(row["file"], json.loads(row["content"])) for row in done.quarantine.read().to_pylist()]
    assert contents[:2] == [("bad.csv", "id"), ("bad.csv", "\\xe9")]
    assert done.quarantine.read().to_pylist()[2]["reason"] == "bad.csv: line 2: byte 0xe9 is not utf-8"


def test_rows_that_reject_a_batch_name_the_expectation_and_the_way_in():
    done = sort(FIVE, by=rules({BETWEEN: {"column": "x", "max_value": 2}}, max_quarantined=0.5))
    assert done.reasons[0].found == (
        f"3 of 5 rows failed, more than 50%; 3 of them x: {BETWEEN}(max_value 2); if they are right, say so in "
        "expectations.yaml: other limits, or severity: info to note it only"
    )


def large_parquet(**spoilt):
    """A file of 70,000 rows, as Parquet, some values of which are others."""
    sink = io.BytesIO()
    count = 70_000
    columns = {
        "id": np.arange(count),
        "at": ["2024-01-01"] * count,
        "x": [f"{n % 9}" for n in range(count)],
        "kind": [f"k{n % 5}" for n in range(count)],
    }
    for name, values in spoilt.items():
        for place, value in values.items():
            columns[name][place] = value
    parquet.write_table(pa.table(columns), sink, row_group_size=30_000)
    return sink.getvalue()


@pytest.mark.parametrize("by_statistics", ["few"], indirect=True)
def test_of_many_rows_each_is_clean_or_in_quarantine_as_of_few():
    content = large_parquet(x={5: "much", 69_999: ""}, id={7: 6}, kind={8: "other", 40_000: "other"})
    by = rules({"expect_column_values_to_match_regex": {"column": "kind", "regex": "^k[0-9]$"}})
    done = validate_files([parse_file("f.parquet", content, FILES)], by)
    assert done.clean.num_rows == 70_000 - 5
    regex = "expect_column_values_to_match_regex(regex ^k[0-9]$)"
    assert held(done) == {
        ("f.parquet", 6): ("reads as float", "x"),
        ("f.parquet", 7): ("unique by id", "id"),
        ("f.parquet", 8): ("unique by id", "id"),
        ("f.parquet", 9): (regex, "kind"),
        ("f.parquet", 40_001): (regex, "kind"),
    }
    contents = {row["row"]: json.loads(row["content"]) for row in done.quarantine.read().to_pylist()}
    assert contents[40_001] == {"id": 40_000, "at": "2024-01-01", "x": "4", "kind": "other"}
    read = done.clean.read()
    assert read.column("x").null_count == 1
    assert (done.content, sum(piece.num_rows for piece in done.clean)) == (content_hash(read), len(read))
