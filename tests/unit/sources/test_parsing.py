"""Parsing: text stays text, torn rows keep their number, what is no table is refused with its line."""

import collections
import gzip
import io

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from evergreen.config.feeds_config import FilesConfig
from evergreen.errors import FileUnreadable
from evergreen.sources.parsing import lines_of, parse_file


def parse(content, name="f.csv", declared=None, **settings):
    return parse_file(name, content, FilesConfig(files="f_{batch:%Y-%m-%d}.csv", **settings), declared)


def as_parquet(rows):
    sink = io.BytesIO()
    parquet.write_table(rows, sink)
    return sink.getvalue()


READABLE = {
    "plain": (b"a,b\n1,2\n3,4\n", {}),
    "no newline at the end": (b"a,b\n1,2\n3,4", {}),
    "byte order mark": (b"\xef\xbb\xbfa,b\n1,2\n3,4\n", {}),
    "CRLF": (b"a,b\r\n1,2\r\n3,4\r\n", {}),
    "CR": (b"a,b\r1,2\r3,4\r", {}),
    "empty lines": (b"\n\na,b\n1,2\n\n3,4\n\n", {}),
    "quoted": (b'"a","b"\n"1","2"\n3,"4"\n', {}),
    "semicolons": (b"a;b\n1;2\n3;4\n", {"delimiter": ";"}),
    "tabs": (b"a\tb\n1\t2\n3\t4\n", {"delimiter": "\t"}),
    "UTF-16": ("a,b\n1,2\n3,4\n".encode("utf-16"), {"encoding": "utf-16"}),
}


@pytest.mark.parametrize("case", READABLE)
def test_one_table_in_many_writings(case):
    content, settings = READABLE[case]
    parsed = parse(content, **settings)
    assert parsed.rows.to_pylist() == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert list(parsed.numbers) == [1, 2]
    assert parsed.torn == ()


@pytest.mark.parametrize("text", ["007", "1.50", "true", "2024-01-01", "", "NA", "null", "nan", " x ", "1e5", "ü€😀"])
def test_nothing_is_guessed(text):
    parsed = parse(f"a,b\n{text},x\n".encode())
    assert parsed.rows.column("a").to_pylist() == [text]
    assert parsed.rows.schema.types == [pa.string(), pa.string()]


@pytest.mark.parametrize("field", ["x\ny", "x,y", 'x"y', "x\r\ny", "\n"])
def test_a_quoted_field_holds_anything(field):
    quoted = field.replace('"', '""')
    parsed = parse(f'a,b\n1,"{quoted}"\n2,z\n'.encode())
    assert parsed.rows.column("b").to_pylist() == [field, "z"]
    assert list(parsed.numbers) == [1, 2]


def test_ragged_rows_are_told_apart_with_their_numbers():
    parsed = parse(b'a,b\n1,2\n3\n4,5,6\n7,"8\n8"\n9,9,9\n10,11\n')
    assert parsed.rows.to_pylist() == [{"a": "1", "b": "2"}, {"a": "7", "b": "8\n8"}, {"a": "10", "b": "11"}]
    assert parsed.numbers.tolist() == [1, 4, 6]
    assert [(row.number, row.text, row.problem) for row in parsed.torn] == [
        (2, "3", "has 1 fields where the header has 2"),
        (3, "4,5,6", "has 3 fields where the header has 2"),
        (5, "9,9,9", "has 3 fields where the header has 2"),
    ]


def test_a_file_of_torn_rows_alone_has_no_rows():
    parsed = parse(b"a,b\n1\n2\n")
    assert parsed.rows.num_rows == 0
    assert parsed.rows.column_names == ["a", "b"]
    assert [row.number for row in parsed.torn] == [1, 2]


def test_a_header_alone_is_a_table_without_rows():
    parsed = parse(b"a,b\n")
    assert (parsed.rows.num_rows, parsed.rows.column_names, parsed.torn) == (0, ["a", "b"], ())
    assert parsed.rows.schema.types == [pa.string(), pa.string()]


def test_rows_beyond_one_block_keep_their_order_and_numbers():
    lines = [f"{i},{'x' * 100}" if i % 1000 else f"{i}" for i in range(1, 30_001)]
    parsed = parse(("a,b\n" + "\n".join(lines) + "\n").encode())
    assert [row.number for row in parsed.torn] == list(range(1000, 30_001, 1000))
    assert parsed.numbers.tolist() == [int(text) for text in parsed.rows.column("a").to_pylist()]


UNREADABLE = {
    "empty": (b"", "f.csv", None, "is empty; expected a header line"),
    "a byte order mark alone": (b"\xef\xbb\xbf", "f.csv", None, "is empty"),
    "white space": (b" \n\n", "f.csv", None, "is empty"),
    "a column twice": (b"a,b,a\n1,2,3\n", "f.csv", 1, "names a twice"),
    "another encoding": (b"a,b\n1,2\n3,\xe9\n4,5\n", "f.csv", 3, "byte 0xe9 is not utf-8"),
    "another encoding in the header": (b"\xe9,b\n", "f.csv", 1, "byte 0xe9 is not utf-8"),
    "a NUL": (b"a,b\n1,2\n3,4\n5,\0\n", "f.csv", 4, "holds a NUL"),
    "UTF-16 unannounced": ("a,b\n1,2\n".encode("utf-16-le"), "f.csv", 1, "holds a NUL"),
    "truncated gzip": (gzip.compress(b"a,b\n" + b"1,2\n" * 500)[:-9], "f.csv.gz", 502, "not whole gzip"),
    "gzip with a wrong check sum": (gzip.compress(b"a\n1\n")[:-8] + b"\0" * 8, "f.csv.gz", None, "not whole gzip"),
    "plain text named gzip": (b"a,b\n1,2\n", "f.csv.gz", None, "not whole gzip"),
    "gzip with junk behind": (gzip.compress(b"a\n1\n") + b"junk", "f.csv.gz", None, "not whole gzip"),
    "gzip of nothing": (gzip.compress(b""), "f.csv.gz", None, "is empty"),
    "one endless line": (b"x" * 200_000, "f.csv", 1, "the header cannot be read"),
    "a quote never closed in the header": (b'"a,b\n' + b"1,2\n" * 50_000, "f.csv", 1, "the header cannot be read"),
    "a quote never closed": (b'a,b\n0,"w\n"\n1,"x\n2,y\n3,z\n', "f.csv", 4, "never closed"),
    "a last line that is cut": (b"a,b,c\n1,2,3\n4,5", "f.csv", 3, "its last line has 2 fields where the header has 3"),
    "a last object that is cut": (b'{"a": 1}\n{"a": 2', "f.jsonl", 2, "its last line is no JSON at character 8"),
    "gzip that does not say so": (gzip.compress(b"a\n1\n"), "f.csv", None, "expected its name to end in .gz"),
    "a spreadsheet": (b"PK\x03\x04" + b"\0" * 30, "f.csv", None, "is a zip archive, such as a spreadsheet"),
    "Parquet named CSV": (as_parquet(pa.table({"a": [1]})), "f.csv", None, "expected its name to end in .parquet"),
    "Parquet with a column twice": (
        as_parquet(pa.table([[1], [2]], names=["a", "a"])),
        "f.parquet",
        1,
        "names a twice",
    ),
    "Parquet whose text is none": (
        as_parquet(pa.table({"a": pa.array([b"\xff"]).cast(pa.string(), safe=False)})),
        "f.parquet",
        None,
        "Column 0: In chunk 0: Invalid: Invalid UTF8",
    ),
    "CSV named Parquet": (b"a,b\n1,2\n", "f.parquet", None, "is not Parquet"),
    "empty Parquet": (b"", "f.parquet", None, "is not Parquet"),
    "truncated Parquet": (as_parquet(pa.table({"a": [1]}))[:-20], "f.parquet", None, "is not Parquet"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_is_no_table_is_refused_with_file_line_and_problem(case):
    content, name, line, problem = UNREADABLE[case]
    with pytest.raises(FileUnreadable) as raised:
        parse(content, name, declared=["a"])
    assert (raised.value.file, raised.value.line) == (name, line)
    assert problem in raised.value.problem
    place = f"{name}, line {line}: " if line else f"{name}: "
    assert str(raised.value).startswith(place)


def test_fields_that_nobody_declared_may_have_one_name_or_none():
    header = ["a", "field 2 ()", "field 3 (b)", "field 4 ()", "field 5 (b)"]
    assert parse(b"a,,b, ,b\n1,2,3,4,5\n", declared=["a"]).rows.to_pylist() == [dict(zip(header, "12345", strict=True))]
    table = pa.table([[1], [2], [3]], names=["a", "b", "b"])
    assert parse(as_parquet(table), "f.parquet", declared=["a"]).rows.column_names == [
        "a",
        "field 2 (b)",
        "field 3 (b)",
    ]
    assert parse(b'{"a": 1, "b": 2, "b": 3}\n', "f.jsonl", declared=["a"]).rows.to_pylist() == [{"a": "1"}]


def test_a_last_line_that_lacks_fields_and_ends_is_kept_and_marked():
    parsed = parse(b"a,b\n1,2\n3\n4,5\n6\n")
    assert [(row.number, row.ends) for row in parsed.torn] == [(2, False), (4, True)]


def test_a_declared_encoding_is_used():
    assert parse(b"a\ncaf\xe9\n", encoding="latin-1").rows.to_pylist() == [{"a": "café"}]


def test_gzip_is_unpacked_by_its_ending():
    parsed = parse(gzip.compress(b"a,b\n1,2\n"), "f_2024-01-01.csv.gz")
    assert parsed.name == "f_2024-01-01.csv.gz"
    assert parsed.rows.to_pylist() == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize("name", ["f.CSV", "f.csv.GZ", "f.PARQUET", "f.parquet.gz", "f.jsonl.gz", "F.NDJSON"])
def test_a_file_is_read_by_its_ending(name):
    plain = as_parquet(pa.table({"a": ["7"]})) if "parquet" in name.lower() else b"a\n7\n"
    plain = b'{"a": 7}\n' if "json" in name.lower() else plain
    assert parse(gzip.compress(plain) if name.lower().endswith(".gz") else plain, name).rows.to_pylist() == [{"a": "7"}]


def test_parquet_keeps_the_types_that_it_states():
    rows = pa.table({"a": pa.array([7, None], pa.int32()), "b": ["x", ""], "c": [1.5, None]})
    parsed = parse(as_parquet(rows), "f.parquet")
    assert parsed.rows.schema.types == [pa.int32(), pa.string(), pa.float64()]
    assert parsed.rows.to_pylist() == rows.to_pylist()
    assert list(parsed.numbers) == [1, 2]


def test_the_lines_of_an_unreadable_file_lose_no_byte():
    assert lines_of("f.csv", b"a,b\n1,\xe9\r\n2,x") == ["a,b", "1,\\xe9", "2,x"]
    assert lines_of("f.csv", b"") == []
    assert lines_of("f.csv.gz", b"a,b\n1,2\n") == ["a,b", "1,2"]
    assert lines_of("f.csv.gz", gzip.compress(b"a,a\n1,2\n") + gzip.compress(b"3,4\n")) == ["a,a", "1,2", "3,4"]


def test_the_lines_of_a_cut_gzip_are_those_that_can_be_unpacked():
    whole = [f"{i},{i * 7919 % 10007}" for i in range(2000)]
    found = lines_of("f.csv.gz", gzip.compress("\n".join(whole).encode())[:-2000])
    assert len(found) > 100
    assert found[:-1] == whole[: len(found) - 1]


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        (b"\xef\xbb\xbfa,b\n007,1\n", {"encoding": "utf_8"}),
        (b"\xef\xbb\xbfa,b\n007,1\n", {"encoding": "U8"}),
        ("a\u2028x,b\n007,1\n".encode(), {}),
        ("a\x85x,b\n007,1\n".encode(), {}),
        (b"a\x0bx,b\n007,1\n", {}),
        (b'"a\nx",b\n007,1\n', {}),
    ],
    ids=["BOM, utf_8", "BOM, U8", "U+2028 in the header", "NEL in the header", "VT in the header", "quoted newline"],
)
def test_nothing_is_guessed_under_an_odd_header(content, settings):
    assert parse(content, **settings).rows.column(0).to_pylist() == ["007"]


MANY = 200_000


@pytest.fixture(scope="module")
def large():
    """A Parquet file of many rows in several row groups: one text of few, one of which each differs, and numbers."""
    numbers = np.arange(MANY)
    rows = pa.table(
        {
            "few": pa.array([f"kind {n % 7}" if n % 11 else None for n in numbers]),
            "each": [f"row {n}" for n in numbers],
            "n": pa.array(numbers, mask=numbers % 13 == 0),
        }
    )
    sink = io.BytesIO()
    parquet.write_table(rows, sink, row_group_size=70_000)
    return rows, sink.getvalue()


def test_a_large_parquet_file_comes_in_pieces_each_time_anew(large):
    rows, content = large
    parsed = parse(content, "f.parquet")
    assert (parsed.num_rows, parsed.column_names) == (MANY, ["few", "each", "n"])
    for _ in range(2):
        pieces = list(parsed.pieces())
        assert max(piece.num_rows for piece in pieces) <= 65_536
        assert [name for piece in pieces for name in piece.column("each").to_pylist()] == rows.column(
            "each"
        ).to_pylist()
    # Few different texts stay a dictionary, which is cast once.
    assert pa.types.is_dictionary(pieces[0].schema.field("few").type)
    assert parsed.rows.equals(rows)
    assert [piece.column_names for piece in parsed.pieces(["n"])] == [["n"]] * len(pieces)


def test_a_large_parquet_file_is_read_where_it_lies(large, tmp_path):
    rows, content = large
    (tmp_path / "f.parquet").write_bytes(content)
    opened, files = [], FilesConfig(files="f_{batch:%Y-%m-%d}.csv")

    def stored():
        opened.append(io.BytesIO((tmp_path / "f.parquet").read_bytes()))
        return opened[-1]

    assert parse_file("f.parquet", content, files, stored=stored).rows.equals(rows)
    assert len(opened) == 1


def test_a_large_parquet_file_that_is_damaged_is_found_as_it_is_read(large):
    _, content = large
    spoilt = bytearray(content)
    spoilt[len(spoilt) // 2 : len(spoilt) // 2 + 500] = b"\xff" * 500
    parsed = parse(bytes(spoilt), "f.parquet")
    with pytest.raises(FileUnreadable, match=r"f\.parquet: is not Parquet: .*; deliver it again"):
        collections.deque(parsed.pieces(), maxlen=0)
