"""Watch for verdicts that ask for a retraining."""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseSensorOperator, Context
from airflow.triggers.base import StartTriggerArgs

from airflow_evergreen.alerts import (
    deployment_sinks,
    tell_at_once,
    tell_digest,
    tell_incidents,
    tell_of_gone,
    tell_watched,
)
from airflow_evergreen.hooks.tracking import MlflowHook
from airflow_evergreen.runtime import acting_for, load_model, locate
from evergreen.config.locations import Locations, model_roots
from evergreen.config.model_folder import BrokenFolder, ModelFolder, find_model_folders
from evergreen.errors import RecordUnreadable
from evergreen.incidents import report
from evergreen.records import Words
from evergreen.sinks import Message
from evergreen.storage.stores import stores_of


class RetrainSensor(BaseSensorOperator):
    """Wait, without ever taking a worker slot for it, until attempts are due; one sensor watches all models.

    Returns the runs to start, as ``TriggerDagRunOperator`` takes them: expand one over its output. A retrain DAG that
    is paused is reported; its run waits in the queue and starts when it is unpaused. So is a folder that does not load,
    and a model whose batches nobody works on. It ends at least once an hour: its last success shows that it watches.

    :param mlflow_conn_id: as in ``StepOperator``.
    """

    start_from_trigger = True

    def __init__(self, *, mlflow_conn_id: str = MlflowHook.default_conn_name, **kwargs: Any) -> None:
        kwargs.setdefault("poke_interval", 30)
        super().__init__(**kwargs)
        self.mlflow_conn_id = mlflow_conn_id
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="airflow_evergreen.triggers.retrain.RetrainTrigger",
            trigger_kwargs={"poll": self.poke_interval},
            next_method="resume",
        )

    def resume(self, context: Context, event: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Hand over the runs to start, and report what the folders have to report."""
        with acting_for(context):
            self._report_changes()
        if not event:
            # It has the time: what was not taken yet, what was quiet until today, and the day's digest.
            self._tell_the_rest()
        for run in event:
            try:
                self._report_paused(context, run)
            except Exception:
                self.log.exception("%s: whether it is paused could not be told; its run is started", run)
        return event

    def _report_changes(self) -> None:
        """Report all before any is told: what many have in common is one message then."""
        from evergreen.steps.report_outages import report_outages
        from evergreen.steps.watch_models import WATCHED, find_common, report_changes

        at, now = Locations.from_environment(), datetime.now(UTC)
        folders = find_model_folders(model_roots()).values()
        common, hit = find_common(folders, at, now), []
        for folder in folders:
            try:
                if report_changes(folder, at, now, common):
                    hit.append(folder)
                    report_outages(folder.id, at, now, WATCHED)
            except Exception as error:
                self._tell_trouble(folder, error)
        silent: set[str] = set()
        for folder in hit:
            try:
                tell_watched(folder, at, silent)
            except Exception as error:
                self._tell_trouble(folder, error)

    def _tell_trouble(self, folder: ModelFolder | BrokenFolder, error: Exception) -> None:
        self.log.error("model %s: what it has to report could not be told; the others go on", folder.id, exc_info=error)
        if isinstance(error, RecordUnreadable):
            # The record of the incident itself: nothing can be noted, so it is told at each look.
            tell_at_once(Message(folder.id, "broken", "opened", "", f"{folder.id}: {error}", 1), deployment_sinks())

    def _tell_the_rest(self) -> None:
        at, silent = locate(self.mlflow_conn_id), set[str]()
        folders = find_model_folders(model_roots())
        for folder in folders.values():
            try:
                if isinstance(folder, ModelFolder):
                    tell_incidents(folder, at, silent)
            except Exception:
                self.log.exception("model %s: what is left to tell could not be told; the others go on", folder.id)
        try:
            tell_of_gone(folders, at, silent)
            tell_digest(at, datetime.now(UTC))
        except Exception:
            self.log.exception("what no folder has to tell could not be told; the next run tells it")

    def _report_paused(self, context: Context, run: dict[str, Any]) -> None:
        instance: Any = context["ti"]
        dag_id, attempt = run["trigger_dag_id"], run["conf"]
        if not instance.get_dag(dag_id).is_paused:
            return
        model = load_model(dag_id.removesuffix("__retrain"))
        at = locate(self.mlflow_conn_id)
        words = Words(
            f"{model.id}: verdict {attempt['verdict']} asks for a retraining, and {dag_id} is paused.",
            f"The champion stays; run {run['trigger_run_id']} waits in the queue.",
            f"Unpause {dag_id}, and it starts, once.",
        )
        with acting_for(context):
            report(stores_of(model, at).ledger, "paused", attempt["as_of"], words)
            tell_incidents(model, at)
