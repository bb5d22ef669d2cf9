"""Watches the open verdicts of all models."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseTrigger, TriggerEvent

from evergreen.config.locations import Locations, model_roots
from evergreen.config.model_folder import BrokenFolder, ModelFolder, find_model_folders
from evergreen.judging.attempts import DueAttempt, find_due_attempt
from evergreen.storage.stores import stores_of

_logger = logging.getLogger(__name__)
_LIVE = ["queued", "running"]
# Seconds: how long one trigger waits, and how often it looks for what is to be reported.
_LONGEST, _BETWEEN = 3600.0, 30.0


class RetrainTrigger(BaseTrigger):
    """Fire when an open verdict's attempt is due and no run of its retrain DAG is queued or running.

    A run that ended without a result is followed by the next run of the same attempt, under the next number. It also
    fires when a folder breaks, is mended or stands still, and in any case once an hour, which shows that it watches.

    :param poll: seconds between two probes.
    """

    def __init__(self, poll: float) -> None:
        super().__init__()
        self.poll = poll
        self._changes: set[tuple[str, str]] = set()
        self._probed = 0.0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger's class and arguments."""
        return f"{__name__}.RetrainTrigger", {"poll": self.poll}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Probe until something is to be done, for an hour at most; the event lists the runs to start."""
        begun = time.monotonic()
        while True:
            runs = await asyncio.to_thread(self._find_runs)
            changed = await asyncio.to_thread(self._has_changed)
            if runs or changed or time.monotonic() - begun >= _LONGEST:
                yield TriggerEvent(runs)
                return
            await asyncio.sleep(self.poll)

    def _find_runs(self) -> list[dict[str, Any]]:
        at, runs = Locations.from_environment(), []
        for model in find_model_folders(model_roots()).values():
            if isinstance(model, BrokenFolder):
                continue
            try:
                run = _next_run(model, at)
            except Exception:
                # One model's trouble must not stop the others; its own DAGs tell of it.
                _logger.exception("model %s: its open verdict could not be read; the others go on", model.id)
                continue
            if run is not None:
                runs.append(run)
        return runs

    def _has_changed(self) -> bool:
        """Whether a folder has something to report, seen by two probes: a file that is being written is soon whole."""
        if time.monotonic() - self._probed < _BETWEEN:
            return False
        from evergreen.steps.watch_models import find_changes

        at, seen, self._probed = Locations.from_environment(), set(), time.monotonic()
        for folder in find_model_folders(model_roots()).values():
            try:
                seen |= {(folder.id, change.words.text) for change in find_changes(folder, at, datetime.now(UTC))}
            except Exception:
                _logger.exception("model %s: whether it stands still could not be read; the others go on", folder.id)
        changed, self._changes = bool(seen & self._changes), seen
        return changed or self._wants_digest(at)

    @staticmethod
    def _wants_digest(at: Locations) -> bool:
        from evergreen.replay.digest import is_digest_due

        try:
            return is_digest_due(at, datetime.now(UTC))
        except Exception:
            _logger.exception("whether the day's digest is due could not be read; the watch goes on")
            return False


def _next_run(model: ModelFolder, at: Locations) -> dict[str, Any] | None:
    due = find_due_attempt(model.config, stores_of(model, at))
    dag_id = f"{model.id}__retrain"
    if due is None or RuntimeTaskInstance.get_dr_count(dag_id, states=_LIVE):
        return None
    number = 1
    while RuntimeTaskInstance.get_dr_count(dag_id, run_ids=[_run_id(due, number)]):
        number += 1
    conf = {"verdict": due.verdict, "as_of": due.as_of, "run": number}
    return {"trigger_dag_id": dag_id, "trigger_run_id": _run_id(due, number), "conf": conf}


def _run_id(due: DueAttempt, number: int) -> str:
    return f"verdict-{due.verdict}-run-{number}"
