"""Numbers in a format that is declared: read so and in no other way; and what a float has rounded."""

import pyarrow as pa
import pytest

from evergreen.config.fields import ColumnType
from evergreen.sources.casting import cast_column
from evergreen.sources.number_text import exact_limit, is_rounded, write_number

FAILS = "does not cast"
GERMAN, ENGLISH = {"decimal": ",", "thousands": "."}, {"thousands": ","}
FORMATS = [
    ("float", GERMAN, {
        "1.400": 1400.0, "792": 792.0, "1.289.000,5": 1289000.5, "12,57": 12.57, "-1.400,": -1400.0, ",5": 0.5,
        " 1.400 ": 1400.0, "1400": 1400.0, "1,4e3": 1400.0, "": None,
        "1.40": FAILS, "12.57": FAILS, "1.4000": FAILS, "0.125": FAILS, "1234.567": FAILS, "1.234567": FAILS,
        "1,400.5": FAILS, "1,2,3": FAILS, "1..400": FAILS, ".400": FAILS, "x": FAILS, "inf": FAILS, "1,e999": FAILS,
    }),
    ("float", ENGLISH, {"1,400": 1400.0, "1,400.25": 1400.25, "0.125": 0.125, "1,40": FAILS, "1.400,5": FAILS}),
    ("float", {"decimal": ","}, {"12,57": 12.57, "792": 792.0, "1.400": FAILS, "12.57": FAILS}),
    ("float", {"decimal": "."}, {"12.57": 12.57, "12,57": FAILS}),
    ("float", {"decimal": ",", "thousands": " "}, {
        "1 400,5": 1400.5, "1\u00a0400": 1400.0, "1\u202f400": 1400.0, "1.400": FAILS, "1  400": FAILS,
    }),
    ("float", {"thousands": "'"}, {"1'400.5": 1400.5, "1\u2019400": 1400.0, "1,400": FAILS}),
    ("float", {"thousands": ",", "unit": "$"}, {
        "$1,400.5": 1400.5, "-$5": -5.0, "$ 7": 7.0, " 5 $ ": 5.0, "1,400": FAILS, "€5": FAILS, "$": FAILS, "": None,
    }),
    ("integer", {"unit": "km per h"}, {"95 km per h": 95, "95km per h": 95, "95 km": FAILS, "95": FAILS}),
    ("integer", GERMAN, {
        "1.400": 1400, "792": 792, "5,0": 5, "1.400,5": FAILS, "1.40": FAILS, "9.223.372.036.854.775.807": 2**63 - 1,
        "9.223.372.036.854.775.808": FAILS, "9.007.199.254.740.992,0": FAILS,
    }),
]  # fmt: skip
CELLS = [(kind, marks, text, value) for kind, marks, table in FORMATS for text, value in table.items()]


def cast(texts, kind, marks):
    return cast_column(pa.chunked_array([pa.array(texts, pa.string())]), ColumnType(type=kind, **marks), ("",))


@pytest.mark.parametrize(("kind", "marks", "text", "value"), CELLS, ids=repr)
def test_a_number_reads_in_its_declared_format_or_fails(kind, marks, text, value):
    one = cast([text], kind, marks)
    assert one.values.to_pylist() == [None if value is FAILS else value]
    assert one.failed.tolist() == [value is FAILS]


def test_a_failure_shows_the_format():
    assert cast(["1.40"], "float", GERMAN).expected == "a finite number written as 1.234.567,5"
    assert cast(["1.40"], "float", {"decimal": ","}).expected == "a finite number written as 1234567,5"
    assert cast(["1.40"], "integer", GERMAN).expected.endswith("written as 1.234.567")


@pytest.mark.parametrize("marks", [GERMAN, ENGLISH, {"decimal": ","}, {"thousands": "'"}], ids=str)
def test_what_is_written_reads_back(marks):
    for plain in ("-1234567.25", "792", "0.125"):
        text = write_number(plain, ColumnType(type="float", **marks))
        assert cast([text], "float", marks).values.to_pylist() == [float(plain)]


def test_numbers_that_a_file_states_need_no_format():
    stated = cast_column(pa.chunked_array([pa.array([1.4, 1400.0])]), ColumnType(type="float", **GERMAN), ())
    assert stated.values.to_pylist() == [1.4, 1400.0]


def test_a_float_tells_whole_numbers_apart_up_to_a_limit():
    assert [exact_limit(kind) for kind in (pa.float16(), pa.float32(), pa.float64())] == [2**11, 2**24, 2**53]
    # A float writes them as its own digits, or as the fewest that name it.
    assert [text for text in (
        "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740994", "1234567890123456768",
        "1234567890123456800", "1234567890123456789", "1" * 300,
    ) if is_rounded(text)] == [
        "9007199254740992", "-9007199254740994", "1234567890123456768", "1234567890123456800",
    ]  # fmt: skip
