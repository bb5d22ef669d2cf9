"""Watches the open verdicts of all models."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseTrigger, TriggerEvent

from evergreen.config.locations import Locations, model_roots
from evergreen.config.model_folder import BrokenFolder, ModelFolder, find_model_folders
from evergreen.judging.attempts import DueAttempt, find_due_attempt
from evergreen.storage.stores import stores_of

T = TypeVar("T")
Folder = ModelFolder | BrokenFolder
_logger = logging.getLogger(__name__)
_LIVE = ["queued", "running"]
# Seconds: how long one trigger waits, and how often it looks for what is to be reported.
_LONGEST, _BETWEEN = 3600.0, 30.0
# Models whose records are read at once.
_ASKING = 8


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
        at = Locations.from_environment()
        dues = _ask_each("its open verdict could not be read", lambda folder: _find_due(folder, at))
        runs = []
        for model_id, due in dues.items():
            try:
                run = _next_run(model_id, due) if due is not None else None
            except Exception:
                _logger.exception("model %s: its runs could not be counted; the others go on", model_id)
                continue
            if run is not None:
                runs.append(run)
        return runs

    def _has_changed(self) -> bool:
        """Whether a folder has something to report, seen by two probes: a file that is being written is soon whole."""
        if time.monotonic() - self._probed < _BETWEEN:
            return False
        from evergreen.steps.watch_models import find_changes

        at, self._probed = Locations.from_environment(), time.monotonic()
        changes = _ask_each(
            "whether it stands still could not be read", lambda folder: find_changes(folder, at, datetime.now(UTC))
        )
        seen = {(model_id, change.words.text) for model_id, found in changes.items() for change in found or ()}
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


def _ask_each(trouble: str, ask: Callable[[Folder], T]) -> dict[str, T | None]:
    """Ask something of every folder, several at once: a lake on S3 takes hundredths of a second to answer.

    :param trouble: what it is that failed for a model, whose answer is then None: it must not stop the others, and its
        own DAGs tell of it.
    """

    def safely(folder: Folder) -> T | None:
        try:
            return ask(folder)
        except Exception:
            _logger.exception("model %s: %s; the others go on", folder.id, trouble)
            return None

    folders = find_model_folders(model_roots())
    with ThreadPoolExecutor(_ASKING) as asking:
        return dict(zip(folders, asking.map(safely, folders.values()), strict=True))


def _find_due(folder: Folder, at: Locations) -> DueAttempt | None:
    return find_due_attempt(folder.config, stores_of(folder, at)) if isinstance(folder, ModelFolder) else None


def _next_run(model_id: str, due: DueAttempt) -> dict[str, Any] | None:
    dag_id = f"{model_id}__retrain"
    if RuntimeTaskInstance.get_dr_count(dag_id, states=_LIVE):
        return None
    number = 1
    while RuntimeTaskInstance.get_dr_count(dag_id, run_ids=[_run_id(due, number)]):
        number += 1
    conf = {"verdict": due.verdict, "as_of": due.as_of, "run": number}
    return {"trigger_dag_id": dag_id, "trigger_run_id": _run_id(due, number), "conf": conf}


def _run_id(due: DueAttempt, number: int) -> str:
    return f"verdict-{due.verdict}-run-{number}"
