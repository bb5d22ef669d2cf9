"""Casting: what reads as its declared type, what does not, and what is of another type altogether."""

import decimal
import re
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from evergreen.config.fields import ColumnType
from evergreen.sources.casting import cast_column
from evergreen.storage.columns import arrow_type

FAILS = "does not cast"


def cast(values, kind, form=None, nulls=("",), given=None):
    return cast_column(pa.chunked_array([pa.array(values, given)]), ColumnType(type=kind, format=form), nulls)


def moment(*parts):
    return datetime(*parts, tzinfo=UTC)


TEXTS = [
    ("string", None, {"x": "x", " x ": " x ", "007": "007", "nan": "nan", "": None, "9007199254740992.0": FAILS}),
    (
        "category",
        None,
        {
            "1": "1",
            "1.0": "1.0",
            "": None,
            "9007199254740991.0": "9007199254740991.0",
            "9007199254740992.0": FAILS,
            "9007199254740993.0": "9007199254740993.0",
            "9007199254740992": "9007199254740992",
            "9" * 400 + ".0": "9" * 400 + ".0",
        },
    ),
    (
        "float",
        None,
        {
            "1": 1.0,
            "-1.5": -1.5,
            "+1.5": 1.5,
            ".5": 0.5,
            "5.": 5.0,
            "1e3": 1000.0,
            "1E-3": 0.001,
            " 2 ": 2.0,
            "2\n": 2.0,
            "": None,
            "nan": FAILS,
            "NaN": FAILS,
            "inf": FAILS,
            "-Infinity": FAILS,
            "1e400": FAILS,
            "-1e400": FAILS,
            "1,5": FAILS,
            "0x10": FAILS,
            "1_000": FAILS,
            ".": FAILS,
            "e5": FAILS,
            "1 2": FAILS,
            " ": FAILS,
            "\u0661": FAILS,
        },
    ),
    (
        "integer",
        None,
        {
            "1": 1,
            "-3": -3,
            "007": 7,
            " 8 ": 8,
            "5.0": 5,
            "5.": 5,
            "-0": 0,
            "+5": 5,
            "9007199254740993": 9007199254740993,
            "9223372036854775807": 2**63 - 1,
            "-9223372036854775808": -(2**63),
            "0009223372036854775807": 2**63 - 1,
            "1234567890123456789.0": 1234567890123456789,
            "9007199254740991.0": 2**53 - 1,
            "9007199254740992.0": FAILS,
            "-9007199254740992.0": FAILS,
            "1234567890123456768.0": FAILS,
            " 123456789012345680.0 ": FAILS,
            "9223372036854775808": FAILS,
            "-9223372036854775809": FAILS,
            "1" * 5000: FAILS,
            "": None,
            "1.5": FAILS,
            "1e3": FAILS,
            "99999999999999999999": FAILS,
            "-99999999999999999999": FAILS,
            "nan": FAILS,
            "x": FAILS,
            "1 2": FAILS,
            "-": FAILS,
        },
    ),
    (
        "boolean",
        None,
        {"true": True, "FALSE": False, " True ": True, "1": True, "0": False, "": None, "yes": FAILS, "2": FAILS},
    ),
    (
        "date",
        "%d-%m-%Y",
        {
            "03-04-2011": date(2011, 4, 3),
            "13-04-2011": date(2011, 4, 13),
            "29-02-2012": date(2012, 2, 29),
            "": None,
            "31-02-2011": FAILS,
            "29-02-2011": FAILS,
            "04-13-2011": FAILS,
            "2011-04-03": FAILS,
            "03/04/2011": FAILS,
            "03-04-11": FAILS,
            "03-04-2011 00:00": FAILS,
            "now": FAILS,
            "today": FAILS,
            "NaT": FAILS,
            "x": FAILS,
        },
    ),
    (
        "timestamp",
        "%s",
        {
            "1260759144": moment(2009, 12, 14, 2, 52, 24),
            "1260759144.5": moment(2009, 12, 14, 2, 52, 24, 500_000),
            "-1": moment(1969, 12, 31, 23, 59, 59),
            "": None,
            "1260759144000": FAILS,
            "2009-12-14": FAILS,
            "1e400": FAILS,
        },
    ),
    ("timestamp", "%s%3N", {"1260759144001": moment(2009, 12, 14, 2, 52, 24, 1000), "": None, "x": FAILS}),
    ("date", "%s", {"1260759144": date(2009, 12, 14)}),
    (
        "timestamp",
        "%Y-%m-%d %H:%M:%S",
        {
            "2024-02-29 23:59:59": moment(2024, 2, 29, 23, 59, 59),
            "2024-02-30 00:00:00": FAILS,
            "2024-02-01 24:00:00": FAILS,
            "2024-02-01": FAILS,
        },
    ),
    (
        "timestamp",
        None,
        {
            "2024-01-01": moment(2024, 1, 1),
            "2024-01-01T05:06:07": moment(2024, 1, 1, 5, 6, 7),
            "2024-01-01 05:06:07.123456": moment(2024, 1, 1, 5, 6, 7, 123456),
            "2024-01-01T00:00:00Z": moment(2024, 1, 1),
            "2024-01-01T00:00:00+02:00": moment(2023, 12, 31, 22),
            "": None,
            "2024-02-30": FAILS,
            "01-02-2024": FAILS,
            "1/2/2024": FAILS,
            "2024-01-01T25:00": FAILS,
            "now": FAILS,
            "today": FAILS,
            "nan": FAILS,
        },
    ),
    (
        "timestamp",
        "%Y-%m-%dT%H:%M%z",
        {"2024-01-01T00:30+0100": moment(2023, 12, 31, 23, 30), "2024-01-01T00:30": FAILS},
    ),
]
CELLS = [(kind, form, text, value) for kind, form, table in TEXTS for text, value in table.items()]


@pytest.mark.parametrize(("kind", "form", "text", "value"), CELLS, ids=str)
def test_a_text_casts_or_fails(kind, form, text, value):
    one = cast([text], kind, form)
    assert one.values.to_pylist() == [None if value is FAILS else value]
    assert one.failed.tolist() == [value is FAILS]
    assert one.values.type == arrow_type(ColumnType(type=kind))


@pytest.mark.parametrize(("kind", "form", "table"), TEXTS, ids=[f"{kind} {form}" for kind, form, _ in TEXTS])
def test_a_row_casts_the_same_among_others(kind, form, table):
    column = cast(list(table), kind, form)
    assert column.values.to_pylist() == [None if value is FAILS else value for value in table.values()]
    assert column.failed.tolist() == [value is FAILS for value in table.values()]


@pytest.mark.parametrize("kind", ["string", "category", "float", "integer", "boolean", "timestamp", "date"])
@pytest.mark.parametrize("values", [[], [None], ["", None]], ids=str)
def test_a_column_without_values_casts_to_nulls_of_its_type(kind, values):
    column = cast(values, kind, given=pa.string())
    assert column.values.to_pylist() == [None] * len(values)
    assert column.failed.tolist() == [False] * len(values)
    assert column.values.type == arrow_type(ColumnType(type=kind))


def test_declared_tokens_stand_for_null_and_others_do_not():
    texts = ["NA", "-", "", "na", "N/A"]
    read = cast(texts, "float", nulls=("NA", "-"))
    assert read.values.to_pylist() == [None] * 5
    assert read.failed.tolist() == [False, False, True, True, True]
    assert cast(texts, "category", nulls=("NA", "-")).values.to_pylist() == [None, None, "", "na", "N/A"]


def test_a_rounded_number_says_from_where_on_its_float_rounds():
    told = "from 2^{} on {} stands for its neighbours too; write ids as integers or text"
    assert cast([2.0**24], "integer", given=pa.float32()).expected == (
        f"a whole number that is read exactly: {told.format(24, 'float')}"
    )
    assert cast([2048.0], "category", given=pa.float16()).expected.endswith(told.format(11, "halffloat"))
    assert cast(["9007199254740992.0"], "string").expected == (
        f"text that is read exactly: {told.format(53, 'a float (.0)')}"
    )


def test_a_failure_says_what_was_expected():
    assert cast(["x"], "float").expected == "a finite number"
    assert cast(["x"], "integer").expected == "a whole number from -9223372036854775808 to 9223372036854775807"
    assert cast(["x"], "date", "%d-%m-%Y").expected == "a date written as %d-%m-%Y, from 1678 to 2261"


TYPED = [
    ("category", pa.int64(), [1, None, -7], ["1", None, "-7"]),
    ("string", pa.uint8(), [255], ["255"]),
    ("category", pa.dictionary(pa.int8(), pa.string()), ["a", None, "a"], ["a", None, "a"]),
    ("category", pa.large_string(), ["a", ""], ["a", None]),
    ("category", pa.float64(), [1.0, None, 265.0], ["1", None, "265"]),
    ("float", pa.string(), ["1.5", "x", ""], [1.5, FAILS, None]),
    ("float", pa.int32(), [1, None], [1.0, None]),
    ("float", pa.float32(), [1.5, None, float("nan"), float("inf")], [1.5, None, None, FAILS]),
    ("integer", pa.int8(), [1, None], [1, None]),
    ("integer", pa.float64(), [2.0, 2.5, None, float("nan"), -3.0], [2, FAILS, None, None, -3]),
    ("integer", pa.float64(), [1e300, 2.0**63, -(2.0**63)], [FAILS, FAILS, FAILS]),
    ("integer", pa.float64(), [2.0**53 - 1, 2.0**53, 1 - 2.0**53, -(2.0**53)], [2**53 - 1, FAILS, 1 - 2**53, FAILS]),
    ("integer", pa.float32(), [2.0**24 - 1, 2.0**24, None], [2**24 - 1, FAILS, None]),
    ("integer", pa.float16(), [2047.0, 2048.0, -2048.0], [2047, FAILS, FAILS]),
    ("category", pa.float64(), [2.0**53 - 1, 2.0**53], ["9007199254740991", FAILS]),
    ("string", pa.float32(), [2.0**24 - 1, 2.0**24 + 2, float("nan")], ["16777215", FAILS, None]),
    ("string", pa.float16(), [2047.0, 2048.0], ["2047", FAILS]),
    ("integer", pa.decimal128(20, 0), [decimal.Decimal(2**53 + 1)], [2**53 + 1]),
    ("float", pa.float64(), [2.0**53, 2.0**60], [2.0**53, 2.0**60]),
    ("integer", pa.uint64(), [7, 2**64 - 1, None], [7, FAILS, None]),
    ("integer", pa.decimal128(10, 2), [decimal.Decimal("3.00"), decimal.Decimal("3.50"), None], [3, FAILS, None]),
    ("float", pa.decimal128(10, 2), [decimal.Decimal("3.50"), None], [3.5, None]),
    ("category", pa.decimal128(10, 2), [decimal.Decimal("265.00")], ["265"]),
    ("float", pa.float16(), [1.5, float("inf")], [1.5, FAILS]),
    ("integer", pa.string(), ["2", "2.5"], [2, FAILS]),
    (
        "timestamp",
        pa.timestamp("s"),
        [10**17, 253402300799, 253402300800],
        [FAILS, moment(9999, 12, 31, 23, 59, 59), FAILS],
    ),
    ("timestamp", pa.timestamp("us"), [2**62, 0], [FAILS, moment(1970, 1, 1)]),
    ("timestamp", pa.date32(), [2**31 - 1, 0], [FAILS, moment(1970, 1, 1)]),
    ("boolean", pa.bool_(), [True, None], [True, None]),
    ("timestamp", pa.timestamp("ns"), [datetime(2024, 1, 1, 5)], [moment(2024, 1, 1, 5)]),
    ("timestamp", pa.timestamp("ms"), [datetime(2024, 1, 1, 5), None], [moment(2024, 1, 1, 5), None]),
    ("timestamp", pa.timestamp("s", tz="America/New_York"), [moment(2024, 1, 1, 5)], [moment(2024, 1, 1, 5)]),
    ("timestamp", pa.date32(), [date(2024, 1, 1)], [moment(2024, 1, 1)]),
    ("date", pa.timestamp("us"), [datetime(2024, 1, 1, 23, 59)], [date(2024, 1, 1)]),
    ("date", pa.timestamp("us", tz="America/New_York"), [moment(2024, 1, 2, 1)], [date(2024, 1, 2)]),
    ("date", pa.date32(), [date(2024, 1, 1), None], [date(2024, 1, 1), None]),
    ("date", pa.null(), [None, None], [None, None]),
]


@pytest.mark.parametrize(("kind", "given", "values", "expected"), TYPED, ids=str)
def test_types_that_a_file_states_are_read(kind, given, values, expected):
    column = cast(values, kind, given=given)
    assert column.values.to_pylist() == [None if value is FAILS else value for value in expected]
    assert column.failed.tolist() == [value is FAILS for value in expected]
    assert column.values.type == arrow_type(ColumnType(type=kind))


@pytest.mark.parametrize(
    ("kind", "given", "values"),
    [
        ("float", pa.list_(pa.float64()), [[1.0]]),
        ("float", pa.struct([("x", pa.float64())]), [{"x": 1.0}]),
        ("float", pa.bool_(), [True]),
        ("float", pa.timestamp("us"), [datetime(2024, 1, 1)]),
        ("integer", pa.bool_(), [True]),
        ("boolean", pa.int64(), [1]),
        ("string", pa.list_(pa.string()), [["a"]]),
        ("string", pa.binary(), [b"a"]),
        ("string", pa.bool_(), [True]),
        ("string", pa.date32(), [date(2024, 1, 1)]),
        ("date", pa.decimal128(5, 2), [decimal.Decimal("1.50")]),
        ("timestamp", pa.int64(), [1_704_067_200]),
        ("date", pa.time32("s"), [0]),
    ],
    ids=str,
)
def test_another_type_altogether_is_refused_naming_both(kind, given, values):
    with pytest.raises(TypeError, match=rf"^the file states .*; expected {kind}$") as raised:
        cast(values, kind, given=given)
    assert str(given) in str(raised.value)


@pytest.mark.parametrize(
    ("given", "values"), [(pa.float64(), [1.5, 2.0]), (pa.decimal128(5, 2), [decimal.Decimal("1.50")])], ids=str
)
def test_fractions_are_no_category(given, values):
    with pytest.raises(TypeError, match=rf"the file states {re.escape(str(given))} with fractions; expected category"):
        cast(values, "category", given=given)


def test_a_column_in_pieces_is_cast_whole():
    pieces = pa.chunked_array([["1", "x"], [], ["3"]], pa.string())
    column = cast_column(pieces, ColumnType(type="integer"), ())
    assert column.values.to_pylist() == [1, None, 3]
    assert column.failed.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("kind", "given", "values", "read"),
    [
        ("integer", pa.uint64(), [2**63, 7], [None, 7]),
        ("integer", pa.float64(), [1e300, 7.0], [None, 7]),
        ("integer", pa.float64(), [float("inf"), 7.0], [None, 7]),
        ("category", pa.float64(), [1e300, 7.0], [None, "7"]),
        ("category", pa.float64(), [float("inf"), 7.0], [None, "7"]),
    ],
    ids=str,
)
def test_a_number_beyond_the_declared_type_fails_alone(kind, given, values, read):
    column = cast(values, kind, given=given)
    assert column.values.to_pylist() == read
    assert column.failed.tolist() == [True, False]


def test_whole_numbers_of_a_float_column_are_rounded_alike_in_every_kind_of_file():
    assert cast([2**60 + 1], "float", given=pa.int64()).values.to_pylist() == [float(2**60)]
    assert cast([str(2**60 + 1)], "float").values.to_pylist() == [float(2**60)]


def test_counts_since_1970_are_read_from_numbers_too_and_a_stated_moment_stays_one():
    declared = ColumnType(type="timestamp", format="%s%3N")
    for values in (pa.array([1_260_759_144_001, None]), pa.array([1_260_759_144_001.0, float("nan")])):
        read = cast_column(pa.chunked_array([values]), declared, ("",))
        assert read.values.to_pylist() == [moment(2009, 12, 14, 2, 52, 24, 1000), None]
        assert not read.failed.any()
    stated = pa.chunked_array([pa.array([datetime(2024, 1, 1, 5)])])
    assert cast_column(stated, declared, ("",)).values.to_pylist() == [moment(2024, 1, 1, 5)]
    beyond = cast_column(pa.chunked_array([pa.array([10**18])]), declared, ("",))
    assert (beyond.failed.tolist(), beyond.expected) == ([True], "a timestamp as a count since 1970, written as %s%3N")
