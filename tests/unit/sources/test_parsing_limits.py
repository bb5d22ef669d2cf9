"""Parsing: a file of more than its limits allow is refused before it takes the memory."""

import collections
import gzip
import io
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from evergreen.config.feeds_config import FilesConfig
from evergreen.config.limits_config import LimitsConfig
from evergreen.errors import FileRefused, FileUnreadable
from evergreen.sources.parsing import lines_of, parse_file

FILES = FilesConfig(files="t_{batch:%Y-%m-%d}.csv")


def as_parquet(**columns):
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink, store_schema=False)
    return sink.getvalue()


def equal_texts(rows, length):
    """One text in all rows, which takes its own length in a file, and all of them in memory."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * length]))


# ruff: noqa: E501 - one row of the table a line, so that it can be read
BEYOND = [
    ("t.csv", b"a\n" + b"x" * 1_000_000, "holds 2 MB; limits.unpacked_mb allows 1: raise it in config.yaml if the file is right", {"unpacked_mb": 1}),
    ("t.csv.gz", gzip.compress(b"x" * 10_000) * 999, "its 1 MB unpack to more than 3 MB; limits.unpacked_mb allows 3", {"unpacked_mb": 3}),
    ("t.csv", b"a\n1\n2\n3\n", "holds 3 rows; limits.rows allows 2", {"rows": 2}),
    ("t.csv", b"a\n" + b"\n" * 9, "holds 9 rows; limits.rows allows 2", {"rows": 2}),
    ("t.csv", b"a,b,c\n1,2,3\n", "holds 3 columns; limits.columns allows 2", {"columns": 2}),
    ("t.csv", b"," * 1_000_001, "has a header of more than 1 MB; limits.line_mb allows 1", {"line_mb": 1}),
    ("t.csv", b",".join(b"c%d" % i for i in range(1000)) + b"\n" + (b"," * 999 + b"\n") * 1000, "holds 1,000 rows of 1,000 columns, 4 MB; limits.unpacked_mb allows 3", {"unpacked_mb": 3}),
    ("t.parquet", as_parquet(a=np.zeros(20_000_000, np.int8)), "holds 20,000,000 rows; limits.rows allows 10,000,000", {}),
    ("t.parquet", as_parquet(**dict.fromkeys(map(str, range(30)), np.zeros(100_000))), "takes 24 MB when it is read; limits.unpacked_mb allows 20", {"unpacked_mb": 20}),
    ("t.parquet", as_parquet(a=[1], b=[1], c=[1]), "holds 3 columns; limits.columns allows 2", {"columns": 2}),
    ("t.parquet", as_parquet(a=[[0] * 1_000_000]), "takes 8 MB when it is read; limits.unpacked_mb allows 7", {"unpacked_mb": 7}),
    ("t.parquet", as_parquet(a=pa.ListArray.from_arrays(range(500_001), equal_texts(500_000, 100_000))), "holds texts of more than 2,000 MB", {}),
    ("t.parquet", as_parquet(a=equal_texts(1_000_000, 100_000)), "holds texts of more than 2,000 MB; limits.unpacked_mb allows 2,000", {}),
    ("t.parquet.gz", gzip.compress(as_parquet(a=equal_texts(1_000_000, 100))), "holds texts of more than 60 MB", {"unpacked_mb": 60}),
    ("t.jsonl", b"[" * 1_000_001, "has a line 1 of 2 MB; limits.line_mb allows 1", {"line_mb": 1}),
    ("t.jsonl", b"".join(b'{"a%d": 1}\n' % i for i in range(1000)), "columns, 4 MB; limits.unpacked_mb allows 3", {"unpacked_mb": 3}),
    ("t.jsonl", b'{"a": 1}\n{"b": 1}\n{"c": 1}\n', "holds 3 columns; limits.columns allows 2", {"columns": 2}),
    ("t.jsonl", b"\r" * 3, "holds 3 rows; limits.rows allows 2", {"rows": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "told", "limits"), BEYOND, ids=[told for _, _, told, _ in BEYOND])
def test_a_file_beyond_a_limit_is_refused_and_says_which(name, content, told, limits):
    with pytest.raises(FileRefused) as refused:
        # The texts of many rows are counted as these are read.
        collections.deque(parse_file(name, content, FILES, limits=LimitsConfig(**limits)).pieces(), maxlen=0)
    assert refused.value.file == name
    assert told in refused.value.problem


def test_no_more_than_the_limit_is_unpacked():
    bomb = gzip.compress(b"x" * 100_000_000)
    tracemalloc.start()
    with pytest.raises(
        FileRefused, match=r"t\.csv\.gz: its 1 MB unpack to more than 5 MB; limits\.unpacked_mb allows 5"
    ):
        parse_file("t.csv.gz", bomb, FILES, limits=LimitsConfig(unpacked_mb=5))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_long_texts_of_many_kinds_are_read_as_they_are():
    """Where texts could be too many for their limit, they are counted first, and then the same."""
    columns = {
        "a": [f"text {i} of many, no two alike" if i % 7 else None for i in range(3000)],
        "b": pa.array(["x", "y", None] * 1000).dictionary_encode(),
        "c": pa.array(["é"] * 3000, pa.large_string()),
        "d": [["in", "a list"], [], None] * 1000,
        "f": [{"x": "struct", "n": [{"y": "deep"}]}] * 3000,
        "g": pa.array([[("k", "v")], None, []] * 1000, pa.map_(pa.string(), pa.string())),
        "h": [b"\xff", None, b""] * 1000,
        "i": pa.array([1, 2, None] * 1000).dictionary_encode(),
        "e": range(3000),
        "j": [[f"text {i} of many"] for i in range(3000)],
    }
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink, row_group_size=1700)
    read = parse_file("t.parquet", sink.getvalue(), FILES, limits=LimitsConfig(unpacked_mb=1)).rows
    assert read.equals(parse_file("t.parquet", sink.getvalue(), FILES).rows)
    assert read.to_pylist() == pa.table(columns).to_pylist()


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ('a,b\n1,"x\n2,y\n3,"z\n', 2, "a quote is opened, and text follows the next one, 2 lines below"),
        ('a,b\n1,x\n2,"y\n3,z\n4,w"\n', 3, "a quoted field goes on for 2 lines; limits.quoted_lines allows 1"),
        ('a,b\r1,"x\r2,y\r3,z"\r', 2, "a quoted field goes on for 2 lines; limits.quoted_lines allows 1"),
        ('a,b\n1,x\n2,"y', 3, "a quote is opened and never closed"),
    ],
)
def test_a_lone_quote_takes_no_rows_along(text, line, told):
    with pytest.raises(FileUnreadable) as refused:
        parse_file("t.csv", text.encode(), FILES, limits=LimitsConfig(quoted_lines=1))
    assert (refused.value.line, told in refused.value.problem) == (line, True), refused.value.problem


@pytest.mark.parametrize("text", ['a,b\n"x\ny, ""z""","",\n5" x 6",""\n', 'a,b\n"x"y,1\n\n2,"3\n4"\n'])
def test_quotes_in_pairs_and_inside_of_fields_are_none_of_them(text):
    assert parse_file("t.csv", text.encode(), FILES, limits=LimitsConfig(quoted_lines=1)).name == "t.csv"


def test_what_cannot_be_read_is_told_line_by_line_up_to_a_size():
    assert lines_of("t.csv", b"a\n\xff\n") == ["a", r"\xff"]
    for content in (b"\xff" * 100_000_001, b"\n" * 1_000_001, b"\r" * 1_000_001):
        assert lines_of("t.csv", content) is None
    packed = gzip.compress(b"x" * 100_000_001)[:-9]
    assert lines_of("t.csv.gz", packed) is None
