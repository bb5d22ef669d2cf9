"""The schedule: where batches begin, when they are looked for, and the last one."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from evergreen.config.contract import ScheduleConfig


def schedule(every, start="2024-01-01", **fields):
    return ScheduleConfig.model_validate({"every": every, "start": start, **fields})


@pytest.mark.parametrize(
    ("every", "start", "fires"),
    [
        ("minute", "2024-01-01T05:30", "* * * * *"),
        ("hour", "2024-01-01T05:00", "0 * * * *"),
        ("day", "2024-01-01", "0 0 * * *"),
        ("week", "2024-01-01", "0 0 * * 1"),
        ("week", "2024-01-06", "0 0 * * 6"),
        ("week", "2024-01-07", "0 0 * * 0"),
        ("month", "2024-02-01", "0 0 1 * *"),
    ],
)
def test_without_a_cron_batches_are_looked_for_as_they_end(every, start, fires):
    made = schedule(every, start)
    assert made.fires == fires
    moments = croniter(fires, made.start)
    for index in range(40):
        moment = moments.get_next(datetime)
        assert moment == made.calendar.starts_at(index + 1)
        assert made.last_ended(moment) == made.calendar.name(index)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"])
@pytest.mark.parametrize("every", ["minute", "hour", "day", "week", "month"])
def test_a_zone_alone_changes_no_batch(every, zone):
    made = schedule(every, timezone=zone)
    assert made.calendar == schedule(every).calendar
    assert (made.timezone, made.zone) == (zone, "UTC")
    moments = croniter(made.fires, made.start.astimezone(ZoneInfo(made.zone)))
    ended = [made.calendar.index(made.last_ended(moments.get_next(datetime))) for _ in range(60)]
    assert ended == list(range(ended[0], ended[0] + 60))


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("every", ["day", "week", "month"])
def test_in_every_zone_batches_are_looked_for_as_they_end(every, zone):
    made = schedule(every, timezone=zone)
    moment = croniter(made.fires, made.start.astimezone(ZoneInfo(made.zone))).get_next(datetime)
    assert moment == made.calendar.end(made.last_ended(moment))


def test_a_cron_may_look_later_than_the_end():
    made = schedule("day", cron="30 6 * * *", timezone="America/New_York")
    assert (made.fires, made.zone) == ("30 6 * * *", "America/New_York")
    assert made.last_ended(datetime(2024, 1, 3, 11, 30, tzinfo=UTC)) == "2024-01-02"


@pytest.mark.parametrize(
    ("every", "start", "told"),
    [
        ("day", "2024-01-01T05:00:00", "start: found 2024-01-01 05:00:00"),
        ("day", "2024-01-01T00:00:00+09:00", "start: found 2023-12-31 15:00:00"),
        ("minute", "2024-01-01T00:00:30", "start: found 2024-01-01 00:00:30"),
        ("week", "2024-01-01T00:00:00+01:00", "start: found 2023-12-31 23:00:00"),
    ],
)
def test_a_start_within_a_batch_is_answered_with_what_is_valid(every, start, told):
    with pytest.raises(ValueError, match=f"{told}.*valid: the start of a {every} in UTC"):
        schedule(every, start)


@pytest.mark.parametrize("start", ["2024-01-01T05:00:00", "2024-01-01T00:00:00+09:00"])
def test_a_start_within_a_batch_is_refused(start):
    with pytest.raises(ValueError, match="start of a day"):
        schedule("day", start)


def test_a_month_begins_at_midnight():
    with pytest.raises(ValueError, match=r"start: found 2024-01-01 06:00:00.*valid: the start of a month in UTC"):
        schedule("month", "2024-01-01T06:00:00")


@pytest.mark.parametrize(
    ("start", "cron"),
    [
        ("2024-03-08", "0 2 * * *"),
        ("2024-03-08", "30 2 * * *"),
        ("2024-03-08", "0 0 * * *"),
        ("2024-11-01", "0 2 * * *"),
        ("2024-11-01", "0 0 * * *"),
        ("2024-11-01", "30 1 * * *"),
        ("2024-03-01", "0 20 * * *"),
    ],
)
def test_a_nightly_cron_is_once_a_batch_over_the_change_of_clocks(cron, start):
    assert schedule("day", start, cron=cron, timezone="America/New_York").fires == cron


@pytest.mark.parametrize(
    ("every", "start", "cron", "batches"),
    [
        ("day", "2024-03-01", "30 19 * * *", "2024-02-28 or 2024-02-29"),
        ("day", "2024-04-01", "30 19 * * *", "2024-03-31 or 2024-04-01"),
        ("day", "2024-07-01", "59 19 * * *", "2024-06-30 or 2024-07-01"),
        ("week", "2024-04-01", "30 19 * * 0", "2024-03-25 or 2024-04-01"),
    ],
)
def test_a_cron_that_meets_utc_midnight_at_a_change_of_clocks_is_refused(every, start, cron, batches):
    with pytest.raises(ValueError, match=rf"cron: found .*batch {batches}, as daylight saving has it; valid: such as"):
        schedule(every, start, cron=cron, timezone="America/New_York")


def test_a_zone_without_changes_of_clocks_may_fire_at_any_hour():
    assert schedule("day", cron="30 19 * * *", timezone="America/Bogota").zone == "America/Bogota"


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        ("0 0 30 2 *", "cannot be read"),
        ("R R * * *", "fires at random"),
        ("0 r * * *", "fires at random"),
        ("0 R(1-5) * * *", "fires at random"),
        ("H 0 * * *", "fires at random"),
        ("h 0 * * *", "fires at random"),
        ("0 0 * * mox", "cannot be read"),
        (" ", "not five fields"),
    ],
)
def test_a_cron_that_fires_never_or_at_random_is_answered_with_a_valid_one(cron, problem):
    with pytest.raises(ValueError, match=f"cron: found .*, which .*{problem}.*; valid: such as '0 0 . . .'"):
        schedule("day", cron=cron)


@pytest.mark.parametrize("day", ["sun", "MON", "tue", "Wed", "thu", "THU", "FRI", "sat"])
def test_a_weekday_may_go_by_its_name(day):
    assert schedule("week", cron=f"0 6 * * {day}").fires == f"0 6 * * {day}"


@pytest.mark.parametrize(
    ("every", "end", "last"),
    [
        ("day", "2024-01-31", "2024-01-31"),
        ("day", "2024-01-31T23:59:59", "2024-01-31"),
        ("day", "2024-01-31T20:00:00-05:00", "2024-02-01"),
        ("hour", "2024-01-31T05:30", "2024-01-31T05"),
        ("week", "2024-01-31", "2024-01-29"),
        ("month", "2024-02-10", "2024-02-01"),
        ("day", "2024-01-01", "2024-01-01"),
    ],
)
def test_the_last_batch_is_the_one_in_which_the_end_lies(every, end, last):
    made = schedule(every, end=end)
    assert made.calendar.containing(made.last_moment) == last
    assert made.calendar.end(last) - made.last_moment == timedelta(seconds=1)
    assert schedule(every).last_moment is None


def test_an_end_before_the_start_is_refused():
    with pytest.raises(ValueError, match=r"end: found 2024-01-04 .*valid: none, or a moment after start 2024-01-05"):
        schedule("day", "2024-01-05", end="2024-01-04")
