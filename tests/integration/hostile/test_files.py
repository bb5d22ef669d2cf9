"""Bad files: each ends in a quarantine or a rejection that says file, column or row, what was found and expected."""

import decimal
import gzip
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from evergreen.config.locations import Locations
from tests.integration.hostile.small import (
    CONFIG,
    HEADER,
    Kind,
    check,
    csv,
    land,
    land_sound,
    rows_of,
    take,
    write_model,
)

ROWS = rows_of(2)
GOOD = csv(HEADER, *ROWS)
NAME = "rows_2024-01-02"
MOMENT = datetime(2024, 1, 2, 5, tzinfo=UTC)


def one_bad(line: str) -> bytes:
    """Four sound rows and a bad one, in row 5."""
    return csv(HEADER, *ROWS, line)


def as_parquet(**columns: Any) -> bytes:
    """Four rows; each argument takes a column's place, None leaves it out."""
    whole = {
        "id": [200, 201, 202, 203], "at": [MOMENT] * 4, "distance": [1.5] * 4, "zone": ["a", "b", "a", "b"],
    } | columns  # fmt: skip
    sink = io.BytesIO()
    parquet.write_table(pa.table({name: values for name, values in whole.items() if values is not None}), sink)
    return sink.getvalue()


def as_lines(*rows: str) -> bytes:
    sound = [
        json.dumps({"id": 200 + i, "at": f"2024-01-02T0{i}:00:00Z", "distance": 1 + i, "zone": "a"}) for i in range(4)
    ]
    return "\n".join([*sound, *rows, ""]).encode()


def source(**settings: Any) -> dict[str, Any]:
    return {"source": CONFIG["source"] | settings}


def columns(**types: Any) -> dict[str, Any]:
    return {"rows": CONFIG["rows"] | {"columns": CONFIG["rows"]["columns"] | types}}


def fine(name: str, content: bytes, ending: str = ".csv", rows: int = 4, **config: Any) -> Kind:
    return Kind(name, {ending: content}, "fine", rows, 0, (), config)


def held(
    name: str, content: bytes, *told: str, ending: str = ".csv", bad: int = 1, clean: int = 4, **config: Any
) -> Kind:
    return Kind(name, {ending: content}, "quarantined", clean, bad, told, config)


def refused(name: str, content: bytes, *told: str, ending: str = ".csv", rows: int | None = 4, **config: Any) -> Kind:
    return Kind(name, {ending: content}, "rejected", 0, rows, told, config)


# ruff: noqa: E501 - one row of the tables a line, so that they can be read
WRITINGS = [
    fine("BOM", b"\xef\xbb\xbf" + GOOD),
    fine("CRLF", GOOD.replace(b"\n", b"\r\n")),
    fine("a lone CR ends the lines", GOOD.replace(b"\n", b"\r")),
    fine("mixed line ends", GOOD.replace(b"\n", b"\r\n", 2)),
    fine("quoted newlines", csv(HEADER, *ROWS[:3], '203,2024-01-02T05:00:00,1.5,"b\nc, ""d"""')),
    fine("extra columns", csv(HEADER + ",more", *(row + ",x" for row in ROWS))),
    fine("undeclared columns without a name, or of one name", csv(HEADER + ",,,x,x", *(row + ",1,2,3,4" for row in ROWS))),
    fine("columns in another order", csv("zone,id,distance,at", "a,200,1.5,2024-01-02"), rows=1),
    fine("one row", csv(HEADER, ROWS[0]), rows=1),
    fine("gzip of two members", gzip.compress(GOOD[:50]) + gzip.compress(GOOD[50:]), ".csv.gz"),
    fine("UTF-16, declared", GOOD.decode().encode("utf-16"), **source(encoding="utf-16")),
    fine("semicolons, declared", GOOD.replace(b",", b";"), **source(delimiter=";")),
    fine("an all-null column", csv(HEADER, *(f"{200 + i},2024-01-02,,a" for i in range(4)))),
    fine("a category of 10,000 values", csv(HEADER, *(f"{i},2024-01-02,1,z{i}" for i in range(10_000))), rows=10_000),
    fine("a field of a million letters", csv(HEADER, f"200,2024-01-02,1,{'x' * 1_000_000}"), rows=1),
    fine("19 digits that fit", csv(HEADER, "9223372036854775807,2024-01-02,1,a", "-9223372036854775808,2024-01-02,1,a"), rows=2),
    fine("names and texts that look like formulas", csv(HEADER, "200,2024-01-02,1,=cmd|'/c calc'!A1"), rows=1),
    refused("empty file", b"", NAME + ".csv", "is empty; expected a header line", rows=0),
    refused("header only", csv(HEADER), "rows arrived", "no rows in " + NAME, rows=0),
    refused("UTF-16, not declared", GOOD.decode().encode("utf-16"), "line 1: byte 0xff is not utf-8; declare its encoding", rows=None),
    refused("mixed encodings", GOOD + b"204,2024-01-02,1,caf\xe9\n", "line 6: byte 0xe9 is not utf-8", "1,caf", rows=6),
    refused("a NUL inside", GOOD.replace(b"b", b"\0", 1), "line 3: holds a NUL; expected text", rows=5),
    refused("a quote that is never closed", csv(HEADER, *ROWS, '204,2024-01-02,1,"b'), "opened and never closed", rows=6),
    refused("a last line that is cut", GOOD + b"204,2024-01", "line 6: its last line has 2 fields where the header has 4", rows=6),
    refused("a column twice", csv("id,at,distance,zone,id", "1,2024-01-02,1,a,2"), "the header names id twice; expected each", rows=2),
    refused("another delimiter", GOOD.replace(b",", b";"), "no such column; undeclared ones are id;at;distance;zone"),
    refused("a missing column", csv("id,at,zone", "200,2024-01-02,a"), "distance", "no such column", rows=1),
    refused("a column in capitals", csv("ID,at,distance,zone", *ROWS), "no such column; undeclared ones are ID"),
    refused("a column with a space", csv("id,at,distance\u00a0,zone", *ROWS), r"no such column; undeclared ones are 'distance\\xa0'"),
    refused("no header", csv(*ROWS), "no such column; undeclared ones are", rows=3),
    refused("gzip that is cut", gzip.compress(GOOD * 50)[:-20], "is not whole gzip", "deliver it again", ending=".csv.gz", rows=None),
    refused("gz that is no gzip", GOOD, "is not whole gzip: Not a gzipped file", ending=".csv.gz", rows=5),
    refused("gzip without its ending", gzip.compress(GOOD, mtime=0), "is gzip; expected its name to end in .gz", rows=None),
    refused("a spreadsheet", b"PK\x03\x04\x14\0 xl/workbook.xml", "is a zip archive, such as a spreadsheet", rows=1),
    refused("more than half of the rows bad", csv(HEADER, "x,y,z,a", "x,y,z,a", ROWS[0]), "2 of 3 rows failed, more than 50%", rows=3),
]  # fmt: skip
ROW_BY_ROW = [
    held("ragged rows", csv(HEADER, *ROWS, "204,2024-01-02", "205,2024-01-02,1,a,b"), "row 5 has 2 fields where the header has 4", bad=2),
    held("integer overflow", one_bad("9223372036854775808,2024-01-02,1,a"), "'id'", "'9223372036854775808' is not a whole number from"),
    held("an id that pandas wrote beside a gap", one_bad("9007199254740992.0,2024-01-02,1,a"), "'9007199254740992.0'", "from 2^53 on a float (.0)"),
    held("NaN", one_bad("204,2024-01-02,NaN,a"), "distance: 'NaN' is not a finite number"),
    held("infinity", one_bad("204,2024-01-02,inf,a"), "distance: 'inf' is not a finite number"),
    held("beyond a float", one_bad("204,2024-01-02,1e999,a"), "distance: '1e999' is not a finite number"),
    held("a decimal comma", one_bad('204,2024-01-02,"1,5",a'), "distance: '1,5' is not a finite number"),
    held("a thousands separator", one_bad('204,2024-01-02,"1,000.5",a'), "distance: '1,000.5' is not a finite number"),
    held("a date beyond the calendar", one_bad("204,2024-02-30,1,a"), "at: '2024-02-30' is not a timestamp written as ISO8601"),
    held("a date beyond 2262", one_bad("204,9999-12-31,1,a"), "at: '9999-12-31' is not a timestamp", "from 1678 to 2261"),
    held("now for a date", one_bad("204,now,1,a"), "at: 'now' is not a timestamp"),
    held(
        "two date orders", csv(HEADER, "200,02-01-2024,1,a", "201,13-01-2024,1,a", "202,01-13-2024,1,a"),
        "at: '01-13-2024' is not a timestamp written as %d-%m-%Y", clean=2, **columns(at={"timestamp": "%d-%m-%Y"}),
    ),
    held("a number in another format than declared", one_bad('204,2024-01-02,"1,40",a'), "distance: '1,40' is not a finite number written as 1,234,567.5", **columns(distance={"type": "float", "thousands": ","})),
    held("an expectation that a row breaks", one_bad("204,2024-01-02,-1,a"), "expect_column_values_to_be_between(min_value 0", "-1"),
    held("a null key", one_bad(",2024-01-02,1,a"), "id: id is missing"),
    held("a null event time", one_bad("204,,1,a"), "at: at is missing"),
    held("a last row that lacks fields", one_bad("204,2024-01-02"), "the last one, has 2 fields where the header has 4: the file may be cut"),
    held("an event time years from its batch", one_bad("204,1970-01-01,1,a"), "at: 1970-01-01 lies outside 2023-01-01 to 2025-01-03"),
    held("a key doubled, equal", one_bad(ROWS[3]), "an equal copy came before"),
    held("a key doubled, with two values", one_bad("203,2024-01-02,99,a"), "copies of this key differ", bad=2, clean=3),
]  # fmt: skip
PARQUET = [
    fine("dictionaries", as_parquet(zone=pa.array(["a", "b", "a", "b"]).dictionary_encode()), ".parquet"),
    fine("decimals", as_parquet(distance=[decimal.Decimal("1.50")] * 4, id=pa.array([1, 2, 3, 4], pa.decimal128(20, 0))), ".parquet"),
    fine("timestamps with a zone", as_parquet(at=pa.array([MOMENT] * 4, pa.timestamp("ns", tz="America/New_York"))), ".parquet"),
    fine("a column of nothing but nulls", as_parquet(distance=pa.nulls(4)), ".parquet"),
    fine("texts for everything", as_parquet(id=list("1234"), at=["2024-01-02"] * 4, distance=["1"] * 4), ".parquet"),
    fine("whole doubles for an integer and a category", as_parquet(id=[1.0, 2.0, 3.0, 4.0], zone=[1.0, None, 2.0, 2.0]), ".parquet"),
    fine("half floats", as_parquet(distance=pa.array([1.5] * 4, pa.float16())), ".parquet"),
    fine("a nested column that nobody declared", as_parquet(tags=[["x"], [], None, ["y"]]), ".parquet"),
    held("a double that is no integer", as_parquet(id=[1.0, 2.5, 3.0, 4.0]), "id: 2.5 is not a whole number", ending=".parquet", clean=3),
    held("ids that a double rounds", as_parquet(id=[1.0, 2.0, 3.0, 2.0**53]), "id: 9007199254740992.0 is not a whole number that is read exactly: from 2^53 on double", ending=".parquet", clean=3),
    held("a category that a half float rounds", as_parquet(zone=pa.array([1, 2, 3, 2048], pa.float16())), "zone: 2048.0", "from 2^11 on halffloat", ending=".parquet", clean=3),
    held("unsigned beyond 64 bits", as_parquet(id=pa.array([1, 2, 3, 2**64 - 1], pa.uint64())), "18446744073709551615", ending=".parquet", clean=3),
    held("infinity in Parquet", as_parquet(distance=[1.0, 2.0, 3.0, float("inf")]), "distance: inf is not a finite number", ending=".parquet", clean=3),
    held("a moment after the year 9999", as_parquet(at=pa.array([*[int(MOMENT.timestamp()) * 10**6] * 3, 2**62], pa.timestamp("us"))), "is not a timestamp of the years 1 to 9999", ending=".parquet", clean=3),
    refused("a nested column", as_parquet(distance=[{"x": 1.0}] * 4), "distance", "the file states struct<x: double>; expected float", ending=".parquet"),
    refused("another type altogether", as_parquet(distance=[True] * 4), "the file states bool; expected float", ending=".parquet"),
    refused("a number for a time", as_parquet(at=[1704067200] * 4), "the file states int64; expected timestamp", ending=".parquet"),
    refused("empty Parquet", as_parquet(id=pa.array([], pa.int64()), at=pa.array([], pa.timestamp("us")), distance=pa.array([], pa.float64()), zone=pa.array([], pa.string())), "no rows in", ending=".parquet", rows=0),
    refused("Parquet cut in half", as_parquet()[: len(as_parquet()) // 2], "is not Parquet", "deliver it again", ending=".parquet", rows=None),
    refused("Parquet of no bytes", b"", "is not Parquet", "deliver it again", ending=".parquet", rows=0),
    refused("CSV named Parquet", GOOD, "is not Parquet", ending=".parquet", rows=5),
    refused("Parquet named CSV", b"PAR1rest", "is Parquet; expected its name to end in .parquet", rows=1),
]  # fmt: skip
JSON_LINES = [
    fine("sound lines", as_lines(), ".jsonl"),
    fine("gzipped lines", gzip.compress(as_lines()), ".ndjson.gz"),
    fine("a number as a text, 3.0 for an integer, a key that is absent", as_lines('{"id": 204.0, "at": "2024-01-02", "distance": "1.5"}'), ".jsonl", rows=5),
    held("a line that is no JSON", as_lines("oops"), "row is no JSON at character 1", '"oops"', ending=".jsonl"),
    held("a cut line", as_lines('{"id": 204, "at": "2024-'), "'row': 5", "expected one whole object", ending=".jsonl"),
    held("a line that is no object", as_lines("[1]"), "is a list; expected an object", ending=".jsonl"),
    held("a nested value in a declared column", as_lines('{"id": 204, "at": "2024-01-02", "distance": {"km": 1}}'), "holds an object in column 'distance'", ending=".jsonl"),
    held("a key twice", as_lines('{"id": 204, "id": 205, "at": "2024-01-02"}'), "names 'id' twice", ending=".jsonl"),
    held("NaN in JSON", as_lines('{"id": 204, "at": "2024-01-02", "distance": NaN}'), "holds NaN, which is no JSON", ending=".jsonl"),
    held("a line in another encoding", as_lines() + b'{"id": 204, "zone": "caf\xe9"}\n', "'row': 5", "which is no character", ending=".jsonl"),
    held("a big integer", as_lines('{"id": 9223372036854775808, "at": "2024-01-02"}'), "is not a whole number from", '{"id": 9223372036854775808', ending=".jsonl"),
    held("an id that went through a float", as_lines('{"id": 1.2345678901234568e+17, "at": "2024-01-02"}'), "from 2^53 on a float (.0)", ending=".jsonl"),
    refused("a declared key that no line has", b'{"id": 1, "at": "2024-01-02", "zone": "a"}\n', "distance", "no such column", ending=".jsonl", rows=1),
    refused("a JSON array over several lines", b'[\n{"id": 1},\n{"id": 2}\n]\n', "is no JSON at character 2", ending=".jsonl", rows=4),
    refused("CSV named JSON Lines", GOOD, "has no line that can be read; line 1 is no JSON", "one object a line", ending=".jsonl", rows=5),
    refused("an empty JSON Lines file", b"", "is empty; expected JSON Lines", ending=".jsonl", rows=0),
]  # fmt: skip
SEVERAL = [
    Kind("a batch in two kinds of files", {"_1.csv": GOOD, "_2.jsonl": as_lines().replace(b": 20", b": 21")}, "fine", 8, 0),
    Kind("the same rows in two files", {"_1.csv": GOOD, "_2.csv": GOOD}, "quarantined", 4, 4, (f"{NAME}_2.csv is a copy of {NAME}_1.csv",)),
    Kind("two files with different columns", {"_1.csv": GOOD, "_2.csv": csv("id,at,zone", "210,2024-01-02,a")}, "rejected", 0, 5, ("distance", "no such column", NAME + "_2.csv")),
    Kind("one unreadable file of two", {"_1.csv": GOOD, "_2.csv": b"\xff"}, "rejected", 0, 5, (NAME + "_2.csv", "byte 0xff is not utf-8", "201")),
]  # fmt: skip
KINDS = [*WRITINGS, *ROW_BY_ROW, *PARQUET, *JSON_LINES, *SEVERAL]


def test_there_are_as_many_kinds_as_promised() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 60


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_bad_file(kind: Kind, tmp_path: Path) -> None:
    model, at = write_model(tmp_path, config=kind.config), Locations.under(tmp_path)
    land_sound(model, at, 1)
    take(model, at, 1)
    land(model, at, "rows", 2, kind.files)
    land_sound(model, at, 2, ("labels",))
    take(model, at, 2)
    check(model, at, "rows", kind)
