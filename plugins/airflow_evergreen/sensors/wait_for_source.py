"""Wait for files, or for a query's yes, outside any model folder."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from airflow.sdk import Context
from pydantic import ValidationError

from airflow_evergreen.hooks.source import Source
from airflow_evergreen.sensors.waiting import WaitingSensor
from airflow_evergreen.triggers.batch import BatchTrigger
from evergreen.batches import Calendar, Every
from evergreen.config.feeds_config import FilesConfig
from evergreen.config.mistakes import describe_mistakes
from evergreen.errors import BatchMissing, ConfigInvalid
from evergreen.sources.landing import ProbeResult

# As good as for ever, and still a date.
_LONGEST = timedelta(days=100_000)


class WaitForSourceSensor(WaitingSensor):
    """Wait, without a worker slot, until the files of a batch are complete or a query says yes; no model folder needed.

    Fails if that does not happen in its time. Returns the batch and what was seen.

    :param batch: the batch, such as ``2024-01-31``. (templated)
    :param location: a folder, or ``s3://bucket/prefix``. (templated)
    :param files: name pattern below the location, such as ``rows_{batch:%Y-%m-%d}*.csv``.
    :param complete: ``{"marker": …}``, ``{"count": …}`` or ``{"stable": "30s"}``; by default sizes that stay the same.
    :param sql: instead of a location, a query whose first value is true once the batch is complete. (templated)
    :param conn_id: AWS connection of an S3 location, or the connection of the query. (templated)
    :param every: length of a batch: minute, hour, day, week or month.
    :param wait: how long to wait after the batch's end.
    """

    template_fields = ("batch", "location", "sql", "conn_id")

    def __init__(
        self,
        *,
        batch: str,
        location: str | None = None,
        files: str | None = None,
        complete: dict[str, Any] | None = None,
        sql: str | None = None,
        conn_id: str | None = None,
        every: str = "day",
        wait: timedelta = timedelta(hours=6),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch, self.location, self.files, self.complete = batch, location, files, complete
        self.sql, self.conn_id, self.every, self.wait = sql, conn_id, every, wait

    def probe(self, context: Context, before: ProbeResult | None, started: datetime) -> dict[str, Any]:
        """Probe; past the time to wait, fail."""
        self._check_arguments()
        calendar = self._calendar()
        where = {
            "location": self.location,
            "files": self.files,
            "complete": self.complete or {},
            "conn_id": self.conn_id,
            "sql": self.sql,
        }
        probe = Source(**where).probe(calendar, calendar.name(0), before)  # type: ignore[arg-type]
        if probe.complete:
            return {"batch": self.batch, "seen": probe.why}
        deadline = calendar.starts_at(1) + min(self.wait, _LONGEST)
        if datetime.now(UTC) >= deadline and not probe.settling:
            raise BatchMissing(f"task {self.task_id}: batch {self.batch} did not come until {deadline}: {probe.why}")
        trigger = BatchTrigger(
            calendar.name(0),
            self.poke_interval,
            source=where,
            calendar=(self.every, calendar.start.isoformat()),
            deadline=deadline.isoformat(),
        )
        self.wait_on(trigger, probe.why, started)

    def _check_arguments(self) -> None:
        if not self.batch or (self.sql is None) == (self.location is None):
            raise ConfigInvalid(f"task {self.task_id}", ["valid: batch with one of location and sql"])
        if (self.sql is not None and not self.conn_id) or (self.location is not None and not self.files):
            raise ConfigInvalid(f"task {self.task_id}", ["valid: sql with conn_id, location with files"])
        if self.location is not None:
            try:
                FilesConfig.model_validate({"files": self.files, "complete": self.complete or {}})
            except ValidationError as error:
                raise ConfigInvalid(f"task {self.task_id}", describe_mistakes(error, FilesConfig)) from None

    def _calendar(self) -> Calendar:
        """The calendar whose first batch this is."""
        if self.every not in get_args(Every):
            problem = f"every: found {self.every!r}; valid: one of {', '.join(get_args(Every))}"
            raise ConfigInvalid(f"task {self.task_id}", [problem])
        form = Calendar(self.every, datetime(2000, 1, 1, tzinfo=UTC)).form  # type: ignore[arg-type]
        try:
            first = datetime.strptime(self.batch, form).replace(tzinfo=UTC)
            if self.every != "month" or first.day == 1:
                return Calendar(self.every, first)  # type: ignore[arg-type]
        except ValueError:
            pass
        valid = datetime(2024, 1, 1 if self.every == "month" else 31, 5, 30).strftime(form)
        problem = f"batch: found {self.batch!r}; valid: a {self.every} named such as {valid}"
        raise ConfigInvalid(f"task {self.task_id}", [problem])
