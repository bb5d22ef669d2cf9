"""Watches the open verdicts of all models."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseTrigger, TriggerEvent

from evergreen.config.locations import Locations, model_roots
from evergreen.config.model_folder import ModelFolder, find_model_folders
from evergreen.judging.attempts import DueAttempt, find_due_attempt
from evergreen.storage.stores import open_stores

_logger = logging.getLogger(__name__)
_LIVE = ["queued", "running"]


class RetrainTrigger(BaseTrigger):
    """Fire when an open verdict's attempt is due and no run of its retrain DAG is queued or running.

    A run that ended without a result is followed by the next run of the same attempt, under the next number.

    :param poll: seconds between two probes.
    """

    def __init__(self, poll: float) -> None:
        super().__init__()
        self.poll = poll
        self._stamp: list[tuple[str, int]] | None = None
        self._models: list[ModelFolder] = []

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger's class and arguments."""
        return f"{__name__}.RetrainTrigger", {"poll": self.poll}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Probe until at least one attempt can be started; the event lists the runs to start."""
        while True:
            runs = await asyncio.to_thread(self._find_runs)
            if runs:
                yield TriggerEvent(runs)
                return
            await asyncio.sleep(self.poll)

    def _find_runs(self) -> list[dict[str, Any]]:
        at, runs = Locations.from_environment(), []
        for model in self._read_models():
            try:
                run = _next_run(model, at)
            except Exception:
                # One model's trouble must not stop the others; its own DAGs tell of it.
                _logger.exception("model %s: its open verdict could not be read; the others go on", model.id)
                continue
            if run is not None:
                runs.append(run)
        return runs

    def _read_models(self) -> list[ModelFolder]:
        """The sound model folders, read again when one of their files has changed."""
        files = [path for root in model_roots() for path in root.glob("*/*.*")]
        stamp = sorted((str(path), _changed_at(path)) for path in files)
        if stamp != self._stamp:
            found = find_model_folders(model_roots()).values()
            self._stamp, self._models = stamp, [model for model in found if isinstance(model, ModelFolder)]
        return self._models


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        # An editor's lock, or a file that is gone by now.
        return 0


def _next_run(model: ModelFolder, at: Locations) -> dict[str, Any] | None:
    due = find_due_attempt(model.config, open_stores(at, model.id))
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
