"""What the sensors that wait for one batch have in common."""

from abc import abstractmethod
from datetime import UTC, datetime
from typing import Any, NoReturn

from airflow.sdk import BaseSensorOperator, Context

from airflow_evergreen.retries import RETRIES
from airflow_evergreen.triggers.batch import BatchTrigger
from evergreen.sources.landing import ProbeResult


class WaitingSensor(BaseSensorOperator):
    """Probe once, then leave the worker slot until a trigger has seen something to do; the base of those beside it."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("retry_policy", RETRIES)
        kwargs.setdefault("poke_interval", 30)
        super().__init__(**kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Probe once, before anything is deferred: a batch that is there costs no trigger."""
        return self.probe(context, None, datetime.now(UTC))

    def resume(self, context: Context, event: dict[str, Any], started: str) -> dict[str, Any]:
        """Probe again when the trigger has seen something to do."""
        sizes = event["sizes"]
        before = ProbeResult(False, "", tuple((name, size) for name, size in sizes)) if sizes is not None else None
        return self.probe(context, before, datetime.fromisoformat(started))

    @abstractmethod
    def probe(self, context: Context, before: ProbeResult | None, started: datetime) -> dict[str, Any]:
        """Probe, and return, fail, or wait on.

        :param before: the probe before this one, where sizes must stay the same over two.
        :param started: when this task began to wait.
        """

    def wait_on(self, trigger: BatchTrigger, why: str, started: datetime) -> NoReturn:
        """Leave the worker slot to others."""
        self.log.info("waiting without a worker slot: %s", why)
        self.defer(trigger=trigger, method_name="resume", kwargs={"started": started.isoformat()})
        raise RuntimeError("deferring returned")
