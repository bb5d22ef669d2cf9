"""The schedule of config.yaml: how long batches are, and when the DAGs look for them."""

import functools
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter
from pydantic import Field, field_validator, model_validator

from evergreen.batches import Calendar, Every
from evergreen.config.fields import Contract, Misfit

_CRONS = {"minute": "* * * * *", "hour": "0 * * * *", "day": "0 0 * * *", "month": "0 0 1 * *"}
# Fires of a cron that are held against the batches: enough to meet the end of a month.
_FIRES = 40
# Within them, no arithmetic of batches leaves what Python and pandas have dates for.
_YEARS = range(1700, 2201)


class ScheduleConfig(Contract):
    """When batches end, and when the DAGs look for them; by default as a batch ends."""

    every: Every = Field(
        description="Length of a batch. Weeks begin on the weekday of `start`, months on the 1st. It stays once the "
        "first batch is on record.",
    )
    start: datetime = Field(description="Start of the first batch, in UTC. It stays once that batch is on record.")
    end: datetime | None = Field(
        default=None, description="A moment in the last batch, in UTC; without it batches go on."
    )
    cron: str | None = Field(default=None, description="When the DAGs run, once a batch; without it as a batch ends.")
    timezone: str = Field(default="UTC", description="IANA time zone of `cron`; batches end in UTC all the same.")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as unknown:
            raise ValueError("valid: an IANA time zone such as UTC or America/New_York") from unknown
        return name

    @field_validator("start", "end", mode="before")
    @classmethod
    def _is_no_number(cls, written: Any) -> Any:
        if isinstance(written, int | float):
            # It would be read as seconds since 1970.
            raise ValueError("valid: a date such as 2024-01-01")
        return written

    @field_validator("start", "end")
    @classmethod
    def _in_utc(cls, moment: datetime | None) -> datetime | None:
        if moment is None:
            return None
        if moment.year not in _YEARS:
            raise ValueError(f"valid: a date such as 2024-01-01, from {_YEARS[0]} to {_YEARS[-1]}")
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    @model_validator(mode="after")
    def _starts_with_a_batch(self) -> Self:
        if self.every == "month" and self.start.day != 1:
            raise ValueError(f"start: months begin on the 1st; valid: {self.start.date().replace(day=1)}")
        form = self.calendar.form
        if datetime.strptime(self.start.strftime(form), form).replace(tzinfo=UTC) != self.start:
            raise Misfit(f"start: found {self.start}; valid: the start of a {self.every} in UTC")
        if self.end is not None and self.end < self.start:
            raise Misfit(f"end: found {self.end}; valid: none, or a moment after start {self.start}")
        return self

    @model_validator(mode="after")
    def _fires_once_a_batch(self) -> Self:
        if len(self.fires.split()) != 5:
            problem: str | None = "which is not five fields"
        elif re.search(r"(?<![a-z])[hr](?![a-z])", self.fires.lower()):
            # croniter draws a number for H and R, as Jenkins does.
            problem = "which fires at random"
        else:
            problem = _miscount(self.fires, self.zone, self.calendar)
        if problem is not None:
            raise Misfit(f"cron: found {self.fires!r}, {problem}; valid: such as {self._default!r}")
        return self

    @property
    def calendar(self) -> Calendar:
        """The batches."""
        return Calendar(self.every, self.start)

    @property
    def fires(self) -> str:
        """The cron of the DAGs, in ``zone``."""
        return self.cron or self._default

    @property
    def last_moment(self) -> datetime | None:
        """The last second of the last batch, the one in which ``end`` lies; None where batches go on."""
        if self.end is None:
            return None
        # Airflow still makes a run whose interval begins at a DAG's very end.
        return self.calendar.end(self.calendar.containing(self.end)) - timedelta(seconds=1)

    @property
    def zone(self) -> str:
        """The time zone of ``fires``; batches end in UTC, and so does the default."""
        return self.timezone if self.cron else "UTC"

    def last_ended(self, moment: datetime) -> str:
        """The last batch that has ended at a moment: the one that a DAG run is for whose data interval ends then."""
        return _last_ended(self.calendar, moment)

    def last_fire(self, moment: datetime) -> datetime:
        """The last moment before one at which the DAGs ran, in UTC."""
        zone = ZoneInfo(self.zone)
        wall: datetime = croniter(self.fires, moment.astimezone(zone).replace(tzinfo=None)).get_prev(datetime)
        return wall.replace(tzinfo=zone).astimezone(UTC)

    @property
    def _default(self) -> str:
        # Weeks begin on the start's weekday.
        return _CRONS.get(self.every, f"0 0 * * {self.start.isoweekday() % 7}")


def _last_ended(calendar: Calendar, moment: datetime) -> str:
    return calendar.shift(calendar.containing(moment), -1)


@functools.lru_cache(maxsize=256)
def _miscount(fires: str, zone: str, calendar: Calendar) -> str | None:
    """Why a cron does not fire once a batch; None if it does.

    As Airflow does, it is walked in wall time; whatever offset the zone has in the year, a fire means one batch.
    """
    time_zone = ZoneInfo(zone)
    offsets = {timedelta(0)}
    if calendar.every in ("day", "week", "month"):
        year = [(calendar.start + timedelta(days=30 * i)).astimezone(time_zone) for i in range(13)]
        offsets = {moment.utcoffset() or timedelta(0) for moment in year}
    try:
        walk = croniter(fires, calendar.start.astimezone(time_zone).replace(tzinfo=None))
        walls = [walk.get_next(datetime) for _ in range(_FIRES)]
    except (CroniterError, ValueError, KeyError) as error:
        return f"which cannot be read: {error}"
    before: str | None = None
    for wall in walls:
        ended = sorted({_last_ended(calendar, (wall - offset).replace(tzinfo=UTC)) for offset in offsets})
        if len(ended) > 1:
            return f"which means batch {ended[0]} or {ended[1]}, as daylight saving has it"
        if before is not None and ended[0] != calendar.shift(before, 1):
            return f"which does not fire once a {calendar.every}: after batch {before} comes {ended[0]}"
        before = ended[0]
    return None
