"""Batches: names, positions and spans of minutes, hours, days, weeks and months."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from evergreen.batches import Calendar, tell_duration

MINUTES = Calendar("minute", datetime(2024, 1, 1, 5, 30, tzinfo=UTC))
HOURS = Calendar("hour", datetime(2024, 1, 1, tzinfo=UTC))
DAYS = Calendar("day", datetime(2024, 1, 1, tzinfo=UTC))
WEEKS = Calendar("week", datetime(2024, 1, 3, tzinfo=UTC))  # a Wednesday
MONTHS = Calendar("month", datetime(2023, 11, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("calendar", "index", "name"),
    [
        (MINUTES, 0, "2024-01-01T0530"),
        (MINUTES, 29, "2024-01-01T0559"),
        (MINUTES, 30, "2024-01-01T0600"),
        (MINUTES, 1110, "2024-01-02T0000"),
        (MINUTES, -1, "2024-01-01T0529"),
        (HOURS, 0, "2024-01-01T00"),
        (HOURS, 23, "2024-01-01T23"),
        (HOURS, 24, "2024-01-02T00"),
        (HOURS, -1, "2023-12-31T23"),
        (DAYS, 0, "2024-01-01"),
        (DAYS, 59, "2024-02-29"),
        (DAYS, 60, "2024-03-01"),
        (DAYS, -1, "2023-12-31"),
        (WEEKS, 0, "2024-01-03"),
        (WEEKS, 1, "2024-01-10"),
        (WEEKS, 52, "2025-01-01"),
        (WEEKS, -1, "2023-12-27"),
        (MONTHS, 0, "2023-11-01"),
        (MONTHS, 1, "2023-12-01"),
        (MONTHS, 2, "2024-01-01"),
        (MONTHS, 14, "2025-01-01"),
        (MONTHS, -10, "2023-01-01"),
        (MONTHS, -11, "2022-12-01"),
    ],
)
def test_name_and_index_are_inverse(calendar, index, name):
    assert calendar.name(index) == name
    assert calendar.index(name) == index


@pytest.mark.parametrize("calendar", [HOURS, DAYS, WEEKS, MONTHS], ids=lambda calendar: calendar.every)
def test_names_sort_as_time_does(calendar):
    names = [calendar.name(i) for i in range(-30, 400)]
    assert names == sorted(set(names))


@pytest.mark.parametrize(
    ("calendar", "batch", "end"),
    [
        (MINUTES, "2024-02-28T2359", datetime(2024, 2, 29, tzinfo=UTC)),
        (HOURS, "2024-01-01T23", datetime(2024, 1, 2, tzinfo=UTC)),
        (DAYS, "2024-02-28", datetime(2024, 2, 29, tzinfo=UTC)),
        (WEEKS, "2024-01-31", datetime(2024, 2, 7, tzinfo=UTC)),
        (MONTHS, "2023-12-01", datetime(2024, 1, 1, tzinfo=UTC)),
        (MONTHS, "2024-02-01", datetime(2024, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_batch_ends_where_the_next_begins(calendar, batch, end):
    assert calendar.end(batch) == end == calendar.moment(calendar.shift(batch, 1))


@pytest.mark.parametrize(
    ("calendar", "batch", "by", "expected"),
    [
        (MINUTES, "2024-01-01T2359", 1, "2024-01-02T0000"),
        (MINUTES, "2024-01-01T0530", -1440, "2023-12-31T0530"),
        (HOURS, "2024-01-01T22", 3, "2024-01-02T01"),
        (DAYS, "2024-03-01", -1, "2024-02-29"),
        (WEEKS, "2024-01-03", 2, "2024-01-17"),
        (MONTHS, "2023-11-01", 3, "2024-02-01"),
        (MONTHS, "2024-01-01", -1, "2023-12-01"),
        (MONTHS, "2024-01-01", 0, "2024-01-01"),
    ],
)
def test_shift_counts_batches(calendar, batch, by, expected):
    assert calendar.shift(batch, by) == expected


@pytest.mark.parametrize(
    ("calendar", "first", "last", "expected"),
    [
        (MINUTES, "2024-01-01T0559", "2024-01-01T0601", ["2024-01-01T0559", "2024-01-01T0600", "2024-01-01T0601"]),
        (DAYS, "2024-02-28", "2024-03-01", ["2024-02-28", "2024-02-29", "2024-03-01"]),
        (DAYS, "2024-02-28", "2024-02-28", ["2024-02-28"]),
        (DAYS, "2024-02-28", "2024-02-27", []),
        (MONTHS, "2023-12-01", "2024-02-01", ["2023-12-01", "2024-01-01", "2024-02-01"]),
        (WEEKS, "2024-01-24", "2024-02-07", ["2024-01-24", "2024-01-31", "2024-02-07"]),
    ],
)
def test_between_holds_both_ends(calendar, first, last, expected):
    assert calendar.between(first, last) == expected


@pytest.mark.parametrize(
    ("calendar", "name", "holder"),
    [
        (WEEKS, "2024-01-04", "2024-01-03"),
        (WEEKS, "2024-01-09", "2024-01-03"),
        (WEEKS, "2024-01-02", "2023-12-27"),
        (MONTHS, "2024-02-29", "2024-02-01"),
        (MONTHS, "2023-10-31", "2023-10-01"),
        (DAYS, "2024-1-5", "2024-01-05"),
        (HOURS, "2024-01-05T5", "2024-01-05T05"),
        (MINUTES, "2024-01-05T053", "2024-01-05T0503"),
    ],
)
def test_a_name_inside_a_batch_is_refused_naming_its_batch(calendar, name, holder):
    for ask in (calendar.moment, calendar.index, calendar.end):
        with pytest.raises(ValueError, match=f"{name}.*not the start of a {calendar.every}.*{holder}$"):
            ask(name)


@pytest.mark.parametrize(
    ("calendar", "name"),
    [
        (DAYS, "2024-02-30"),
        (DAYS, "2024-01-01T00"),
        (DAYS, "yesterday"),
        (DAYS, ""),
        (MINUTES, "2024-01-01T05:30"),
        (MINUTES, "2024-01-01T0560"),
        (HOURS, "2024-01-01"),
        (HOURS, "2024-01-01T24"),
    ],
)
def test_a_name_that_is_no_date_is_refused(calendar, name):
    with pytest.raises(ValueError, match=f"'{name}' is no batch.*such as {calendar.name(0)}$"):
        calendar.moment(name)


@pytest.mark.parametrize(
    ("calendar", "moment", "batch"),
    [
        (MINUTES, datetime(2024, 1, 1, 5, 30, 59, tzinfo=UTC), "2024-01-01T0530"),
        (MINUTES, datetime(2024, 1, 1, 5, 31, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2024-01-01T0001"),
        (DAYS, datetime(2024, 1, 1, 23, 59, 59, tzinfo=UTC), "2024-01-01"),
        (DAYS, datetime(2024, 1, 1, 23, 0, tzinfo=timezone(timedelta(hours=-5))), "2024-01-02"),
        (DAYS, datetime(2023, 12, 31, 23, 59, tzinfo=UTC), "2023-12-31"),
        (WEEKS, datetime(2024, 1, 2, 23, 59, tzinfo=UTC), "2023-12-27"),
        (WEEKS, datetime(2024, 1, 3, tzinfo=UTC), "2024-01-03"),
        (MONTHS, datetime(2024, 2, 29, 12, tzinfo=UTC), "2024-02-01"),
        (HOURS, datetime(2024, 1, 1, 0, 59, tzinfo=timezone(timedelta(minutes=30))), "2024-01-01T00"),
    ],
)
def test_a_moment_lies_in_the_batch_of_its_utc_time(calendar, moment, batch):
    assert calendar.containing(moment) == batch


@pytest.mark.parametrize("calendar", [MINUTES, HOURS, DAYS, WEEKS, MONTHS], ids=lambda one: one.every)
def test_a_pattern_takes_names_and_no_slip(calendar):
    assert all(re.search(calendar.pattern, calendar.name(i)) for i in range(-50, 400))
    name = calendar.name(3)
    for slip in (
        f"{name} ",
        f" {name}",
        name.replace("-", "/"),
        name[1:],
        f"{name}\n",
        "2024-13-01",
        "2024-01-32",
        "x",
        "",
    ):
        assert re.fullmatch(calendar.pattern, slip) is None
    others = {MINUTES: HOURS, HOURS: DAYS, DAYS: MINUTES, WEEKS: HOURS, MONTHS: HOURS}
    assert not re.search(calendar.pattern, others[calendar].name(3))


@pytest.mark.parametrize(
    ("span", "told"),
    [
        (timedelta(days=7), "7 days"),
        (timedelta(days=1), "1 day"),
        (timedelta(hours=36), "36 hours"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(seconds=0.05), "0.05 seconds"),
        (timedelta(0), "0 seconds"),
    ],
)
def test_a_duration_is_told_in_the_unit_that_fits(span, told):
    assert tell_duration(span) == told
