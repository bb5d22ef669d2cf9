"""Wait for a batch."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from airflow.sdk import BaseSensorOperator, Context
from pydantic import ValidationError

from airflow_evergreen.hooks.source import Source
from airflow_evergreen.hooks.tracking import MlflowHook
from airflow_evergreen.runtime import RETRIES, acting_for, batch_of, load_model, locate, patience
from airflow_evergreen.triggers.batch import BatchTrigger
from evergreen.batches import Calendar, Every
from evergreen.config.feeds import FilesConfig
from evergreen.config.mistakes import describe_mistakes
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import BatchMissing, ConfigInvalid, NotReady, Refused
from evergreen.sources.landing import Look
from evergreen.sources.waiting import WaitResult

# As good as for ever, and still a date.
_LONGEST = timedelta(days=100_000)


class WaitForBatchSensor(BaseSensorOperator):
    """Wait, without a worker slot, until a batch is complete; fail if it does not come in its time.

    With ``model_id`` the model folder's rules hold, and a batch that does not come is declared missing, so that later
    ones go on. Without one, say where to look: files in a folder or on S3, or a query. Returns the batch and what was
    seen.

    :param model_id: the model folder's name. (templated)
    :param batch: the batch, such as ``2024-01-31``; with a model folder, as in ``StepOperator``. (templated)
    :param feed: ``rows`` or ``labels`` of the model folder.
    :param location: a folder, or ``s3://bucket/prefix``. (templated)
    :param files: name pattern below the location, such as ``rows_{batch:%Y-%m-%d}*.csv``.
    :param complete: ``{"marker": …}``, ``{"count": …}`` or ``{"stable": "30s"}``; by default sizes that stay the same.
    :param sql: a query whose first value is true once the batch is complete. (templated)
    :param conn_id: AWS connection of an S3 location, or the connection of the query. (templated)
    :param every: length of a batch without a model folder: minute, hour, day, week or month.
    :param wait: how long to wait after the batch's end, without a model folder.
    :param mlflow_conn_id: as in ``StepOperator``.
    """

    template_fields = ("model_id", "batch", "location", "sql", "conn_id")

    def __init__(
        self,
        *,
        model_id: str | None = None,
        batch: str | None = None,
        feed: str = "rows",
        location: str | None = None,
        files: str | None = None,
        complete: dict[str, Any] | None = None,
        sql: str | None = None,
        conn_id: str | None = None,
        every: str = "day",
        wait: timedelta = timedelta(hours=6),
        mlflow_conn_id: str = MlflowHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retry_policy", RETRIES)
        kwargs.setdefault("poke_interval", 30)
        super().__init__(**kwargs)
        self.model_id, self.batch, self.feed, self.mlflow_conn_id = model_id, batch, feed, mlflow_conn_id
        self.location, self.files, self.complete, self.sql, self.conn_id = location, files, complete, sql, conn_id
        self.every, self.wait = every, wait

    def execute(self, context: Context) -> dict[str, Any]:
        """Look once, before anything is deferred: a batch that is there costs no trigger."""
        self._check_arguments()
        started = datetime.now(UTC)
        return self._look(context, None, started.isoformat())

    def resume(self, context: Context, event: dict[str, Any], started: str) -> dict[str, Any]:
        """Look again when the trigger has seen something to do."""
        sizes = event["sizes"]
        before = Look(False, "", tuple((name, size) for name, size in sizes)) if sizes is not None else None
        return self._look(context, before, started)

    def as_of(self, model: ModelFolder, context: Context) -> str:
        """The batch that this task is for."""
        return batch_of(model, self.batch, context)

    def _check_arguments(self) -> None:
        ways = [self.model_id is not None, self.sql is not None, self.location is not None]
        if sum(ways) != 1 or (self.model_id is None and not self.batch):
            raise ConfigInvalid(
                f"task {self.task_id}",
                ["valid: model_id alone, or batch with one of location and sql"],
            )
        if (self.sql is not None and not self.conn_id) or (self.location is not None and not self.files):
            raise ConfigInvalid(f"task {self.task_id}", ["valid: sql with conn_id, location with files"])
        if self.location is not None:
            try:
                FilesConfig.model_validate({"files": self.files, "complete": self.complete or {}})
            except ValidationError as error:
                raise ConfigInvalid(f"task {self.task_id}", describe_mistakes(error, FilesConfig)) from None

    def _calendar_of(self, batch: str) -> Calendar:
        """The calendar whose first batch this is."""
        if self.every not in get_args(Every):
            problem = f"every: found {self.every!r}; valid: one of {', '.join(get_args(Every))}"
            raise ConfigInvalid(f"task {self.task_id}", [problem])
        form = Calendar(self.every, datetime(2000, 1, 1, tzinfo=UTC)).form  # type: ignore[arg-type]
        try:
            first = datetime.strptime(batch, form).replace(tzinfo=UTC)
            if self.every != "month" or first.day == 1:
                return Calendar(self.every, first)  # type: ignore[arg-type]
        except ValueError:
            pass
        valid = datetime(2024, 1, 1 if self.every == "month" else 31, 5, 30).strftime(form)
        problem = f"batch: found {batch!r}; valid: a {self.every} named such as {valid}"
        raise ConfigInvalid(f"task {self.task_id}", [problem])

    def _look(self, context: Context, before: Look | None, started: str) -> dict[str, Any]:
        if self.model_id is None:
            return self._look_outside(before, started)
        from evergreen.steps.wait_for_batch import wait_for_batch

        model = load_model(self.model_id)
        batch, limit = self.as_of(model, context), patience(model)
        give_up = datetime.fromisoformat(started) + limit if limit is not None else None
        try:
            with acting_for(context):
                at = locate(self.mlflow_conn_id)
                seen = wait_for_batch(model, at, batch, datetime.now(UTC), before, self.feed)  # type: ignore[arg-type]
        except NotReady as earlier:
            if give_up is not None and datetime.now(UTC) >= give_up:
                # A retry would be as patient once more.
                raise Refused(str(earlier)) from earlier
            seen = WaitResult("waiting", "an earlier batch has to be processed first")
        if seen.state == "missing":
            raise BatchMissing(
                f"model {model.id}: {self.feed} of batch {batch} did not come in their time: {seen.why}. Declared "
                "missing; later batches go on. Deliver the files: they join the next open batch"
            )
        if seen.state == "complete":
            return {"batch": batch, "seen": seen.why}
        end = give_up.isoformat() if give_up is not None else None
        return self._wait(BatchTrigger(batch, self.poke_interval, self.model_id, self.feed, give_up=end), seen, started)

    def _look_outside(self, before: Look | None, started: str) -> dict[str, Any]:
        batch = str(self.batch)
        source = {
            "location": self.location,
            "files": self.files,
            "complete": self.complete or {},
            "conn_id": self.conn_id,
            "sql": self.sql,
        }
        calendar = self._calendar_of(batch)
        first = calendar.start
        seen = Source(**source).look(calendar, calendar.name(0), before)  # type: ignore[arg-type]
        if seen.complete:
            return {"batch": batch, "seen": seen.why}
        deadline = calendar.starts_at(1) + min(self.wait, _LONGEST)
        if datetime.now(UTC) >= deadline and not seen.settling:
            raise BatchMissing(f"task {self.task_id}: batch {batch} did not come until {deadline}: {seen.why}")
        trigger = BatchTrigger(
            calendar.name(0),
            self.poke_interval,
            source=source,
            calendar=(self.every, first.isoformat()),
            deadline=deadline.isoformat(),
        )
        return self._wait(trigger, WaitResult("waiting", seen.why), started)

    def _wait(self, trigger: BatchTrigger, seen: WaitResult, started: str) -> dict[str, Any]:
        self.log.info("waiting without a worker slot: %s", seen.why)
        self.defer(trigger=trigger, method_name="resume", kwargs={"started": started})
        raise RuntimeError("deferring returned")
