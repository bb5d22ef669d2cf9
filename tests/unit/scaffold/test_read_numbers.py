"""Formats of numbers: told by a column's values, by the other columns of the file, or by nobody."""

import numpy as np
import pyarrow as pa
import pytest

from evergreen.scaffold.read_numbers import find_by_file, find_numbers, reads_as_numbers


def find(*texts):
    return tuple(find_numbers(pa.array(texts), np.ones(len(texts))))


def told(*texts):
    return [(one.type.type, one.declared) for one in find(*texts)]


PLAIN, COMMA, GERMAN = "as it is", 'decimal: ","', 'decimal: ",", thousands: "."'


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("1", "792"), [("integer", PLAIN)]),
        (("12.57", "792"), [("float", PLAIN)]),
        (("12.570", "0.125"), [("float", PLAIN)]),
        (("12,57", "792"), [("float", COMMA)]),
        (("1.400,5", "792"), [("float", GERMAN)]),
        (("1.400.000", "792"), [("integer", GERMAN)]),
        (("1,400.5", "792"), [("float", 'thousands: ","')]),
        (("1,400,000", "-792"), [("integer", 'thousands: ","')]),
        (("1 400", "792"), [("integer", 'thousands: " "')]),
        (("1\u00a0400,5", "792"), [("float", 'decimal: ",", thousands: " "')]),
        (("1'400.50", "792"), [("float", 'thousands: "\'"')]),
        (("1.400", "792", "1.289"), [("float", PLAIN), ("integer", GERMAN)]),
        (("1,400", "792", "1,289"), [("float", COMMA), ("integer", 'thousands: ","')]),
        (("$1,400", "$792"), [("integer", 'thousands: ",", unit: "$"')]),
        (("1.400,5 €", "12 €"), [("float", 'decimal: ",", thousands: ".", unit: "€"')]),
        (("80%", "12.5 %"), [("float", 'unit: "%"')]),
        (("95 min", "7 min"), [("integer", 'unit: "min"')]),
        (("USD 5", "USD 7"), [("integer", 'unit: "USD"')]),
        (("UA 12", "UA 13"), []),
        (("F00001", "F00002"), []),
        (("174A", "12A"), []),
        (("$5", "€5"), []),
        (("01 May 2024", "02 May 2024"), []),
        (("007", "1.5"), []),
        (("1.5", "x"), []),
        (("10.0.0.1", "10.0.0.2"), []),
        ((), []),
    ],
    ids=str,
)
def test_a_column_s_own_values(texts, expected):
    assert told(*texts) == expected


def test_a_little_dirt_is_no_other_format():
    assert told(*(f"{i},5" for i in range(1, 200)), "x") == [("float", COMMA)]


OPEN = ("1.400", "792", "1.289")
FIXED = ("1.401", "3.789", "1.289")


@pytest.mark.parametrize(
    ("own", "others", "delimiter", "expected"),
    [
        (OPEN, ("12,57",), ";", GERMAN),
        (OPEN, ("12.57",), ";", None),
        (OPEN, ("12,57", "12.57"), ";", None),
        (OPEN, ("792",), ";", None),
        (OPEN, ("792",), ",", None),
        (FIXED, ("12.57",), ";", PLAIN),
        (FIXED, ("792",), ";", None),
        (FIXED, ("792",), ",", PLAIN),
        (("1,400", "792"), ("12.57",), ",", 'thousands: ","'),
        (("1,400", "792"), ("792",), ",", None),
        (("1,401", "3,792"), ("12,5",), ",", COMMA),
    ],
    ids=str,
)
def test_what_the_rest_of_the_file_tells(own, others, delimiter, expected):
    readings = {"own": find(*own)} | {f"other {i}": find(text) for i, text in enumerate(others)}
    found = find_by_file(readings, delimiter)
    assert [one.declared for one in found.values()] == ([expected] if expected else [])
    assert set(found) <= {"own"}


def test_what_keeps_numbers_of_any_format_apart_is_seen():
    assert reads_as_numbers(pa.array(["1.400,5", "12"]))
    assert not reads_as_numbers(pa.array(["1.400,5", "-"]))
    assert not reads_as_numbers(pa.array([], pa.string()))
