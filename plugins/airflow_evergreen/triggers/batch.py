"""Probes for a batch, or for its scores, while a sensor is deferred."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_evergreen.hooks.source import Source
from airflow_evergreen.runtime import load_model
from evergreen.batches import Calendar
from evergreen.config.feeds_config import CompleteConfig, FilesConfig
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import ConfigInvalid, NotReady
from evergreen.sources.intake import source_of
from evergreen.sources.landing import ProbeResult
from evergreen.sources.waiting import probe_batch, unordered, unscored, unsettled

_logger = logging.getLogger(__name__)
# How long a check waits for the one before it.
GRACE = timedelta(hours=1)
# Seconds between two probes for what other runs of the loop have to do first.
_LOOP_POLL = 5.0


class BatchTrigger(BaseTrigger):
    """Probe every few seconds, and fire once there is something for a worker to do.

    That is: the batch is complete, its time is over, or a probe failed; the sensor then probes itself and decides.
    Nothing is written here.

    :param batch: the batch.
    :param poll: seconds between two probes.
    :param model_id: the model folder whose rules hold; None with ``source``.
    :param until: ``rows`` or ``labels`` for their files, ``scores`` until the batch is scored and its labels sealed.
    :param source: what to probe without a model folder, as ``Source`` takes it.
    :param calendar: length and first moment of the batches of ``source``.
    :param deadline: moment (ISO 8601) at which a ``source`` is overdue, or an earlier check no longer waited for.
    :param give_up: moment (ISO 8601) past which earlier batches are no longer waited for; None for never.
    """

    def __init__(
        self,
        batch: str,
        poll: float,
        model_id: str | None = None,
        until: str = "rows",
        source: dict[str, Any] | None = None,
        calendar: tuple[str, str] | None = None,
        deadline: str | None = None,
        give_up: str | None = None,
    ) -> None:
        super().__init__()
        self.batch, self.poll, self.model_id, self.until = batch, poll, model_id, until
        self.source, self.calendar, self.deadline, self.give_up = source, calendar, deadline, give_up

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger's class and arguments."""
        names = ("batch", "poll", "model_id", "until", "source", "calendar", "deadline", "give_up")
        return f"{__name__}.BatchTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Probe until something is to be done; the event carries the sizes that the last probe but one saw."""
        before: ProbeResult | None = None
        said = ""
        while True:
            try:
                done, probe = await asyncio.to_thread(self._probe, before)
            except (NotReady, ConfigInvalid) as error:
                # A config.yaml that is being written is whole a moment later.
                done, probe = _past(self.give_up), None
                if str(error) != said:
                    said = str(error)
                    _logger.info("%s", said)
            except Exception:
                _logger.exception("probing for batch %s failed; a worker probes again", self.batch)
                # Worker and trigger would chase each other if only this process cannot probe.
                await asyncio.sleep(self.poll)
                done, probe = True, None
            if done:
                yield TriggerEvent({"sizes": [list(size) for size in before.sizes] if before else None})
                return
            # What the loop itself has to do first is soon done, and costs one read of the ledger to look for.
            waits_for_loop = probe is None
            before = probe
            await asyncio.sleep(min(self.poll, _LOOP_POLL) if waits_for_loop else self._pause())

    def _probe(self, before: ProbeResult | None) -> tuple[bool, ProbeResult | None]:
        if self.source is not None:
            every, start = self.calendar or ("day", self.batch)
            probe = Source(**self.source).probe(
                Calendar(every, datetime.fromisoformat(start).replace(tzinfo=UTC)),  # type: ignore[arg-type]
                self.batch,
                before,
            )
            return probe.complete or (_past(self.deadline) and not probe.settling), probe
        model, at = self._model, Locations.from_environment()
        if self.until == "scores":
            if (unsettled(model, at, self.batch) or unscored(model, at, self.batch)) is not None:
                return _past(self.give_up), None
            return _past(self.deadline) or unordered(model, at, self.batch) is None, None
        feed = "labels" if self.until == "labels" else "rows"
        result = probe_batch(model, at, self.batch, datetime.now(UTC), before, feed)  # type: ignore[arg-type]
        return result.state != "waiting", result.probe

    @property
    def _model(self) -> ModelFolder:
        """The model folder as it is now, for a sensor may wait for days."""
        return load_model(str(self.model_id))

    def _pause(self) -> float:
        """Seconds to the next probe; sizes must stay the same for as long as config.yaml says."""
        if self.source is not None:
            complete = CompleteConfig.model_validate(self.source.get("complete", {}))
            return self.poll if self.source.get("sql") else _apart(complete, self.poll)
        try:
            source = source_of(self._model, "labels" if self.until == "labels" else "rows")
        except ConfigInvalid:
            return self.poll
        if self.until == "scores" or not isinstance(source, FilesConfig):
            return self.poll
        return _apart(source.complete, self.poll)


def _apart(complete: CompleteConfig, poll: float) -> float:
    return poll if complete.marker or complete.count else max(poll, complete.stable.total_seconds())


def _past(moment: str | None) -> bool:
    return moment is not None and datetime.now(UTC) >= datetime.fromisoformat(moment)
