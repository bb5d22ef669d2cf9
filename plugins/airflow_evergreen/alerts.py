"""Telling of incidents, and the incidents that failed tasks are."""

import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from airflow.configuration import conf
from airflow.sdk import Context

from airflow_evergreen.hooks.notifier_sink import NotifierSink
from airflow_evergreen.hooks.slack_sink import SlackSink
from airflow_evergreen.runtime import acting_for, load_model, locate
from evergreen.config.locations import Locations, deployment_alerts, model_roots
from evergreen.config.model_folder import BrokenFolder, ModelFolder, find_model_folders
from evergreen.config.tasks_config import AlertsConfig
from evergreen.errors import BatchMissing, BatchRejected, ModelIncompatible, Outage, RecordUnreadable, Refused
from evergreen.incidents import report, resolve
from evergreen.records import BatchRecord, Words
from evergreen.sinks import Message, Sink, ask_once
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import open_stores

_logger = logging.getLogger(__name__)
_SHARED = "EVERGREEN_ALERTS_SLACK"
_FAILED = {"failed", "upstream_failed"}
# An attempt whose run fails is taken up by the next one; other runs have to be cleared.
_NEXT_MENDS = "failed-retrain"


def sinks_of(model: ModelFolder | BrokenFolder) -> tuple[Sink, ...]:
    """Who is told of a model's incidents: the log, and the URL, the Slack and the notifiers that its config.yaml names.

    Where it names none, the deployment's are told.
    """
    from evergreen.steps.send_alerts import default_sinks, own_alerts

    own = own_alerts(model)
    if own is not None:
        return (*default_sinks(model), *_by_airflow(f"model {model.id}: alerts.slack", own))
    shared = deployment_alerts()
    channel = model.config.alerts.channel if isinstance(model, ModelFolder) else None
    shared = shared.model_copy(update={"channel": channel or shared.channel})
    return (*default_sinks(model), *_by_airflow(_SHARED, shared))


def deployment_sinks() -> tuple[Sink, ...]:
    """Who is told of what no model can tell: the log, and what ``EVERGREEN_ALERTS_…`` name."""
    from evergreen.steps import send_alerts

    return (*send_alerts.deployment_sinks(), *_by_airflow(_SHARED, deployment_alerts()))


def _by_airflow(where: str, alerts: AlertsConfig) -> tuple[Sink, ...]:
    """Who is told by Airflow's connections and classes."""
    from evergreen.steps.send_alerts import name_notifiers

    told = [item for one in alerts.notifiers for item in one.items()]
    notifiers = tuple(NotifierSink(*item, name) for item, name in zip(told, name_notifiers(alerts), strict=True))
    if alerts.slack is None:
        return notifiers
    if not SlackSink.configured(alerts.slack):
        _logger.warning("%s names connection %s, which is not there; logged only", where, alerts.slack)
        return notifiers
    return (SlackSink(alerts.slack, alerts.channel), *notifiers)


def page_of(folder: ModelFolder | BrokenFolder) -> str:
    """Address of a model's page in Airflow; of a folder that does not load that of the list."""
    if not isinstance(folder, ModelFolder):
        return overview()
    return f"{_airflow()}/dags/{folder.id}__batch/plugin/evergreen-model"


def overview() -> str:
    """Address of the list of models."""
    return f"{_airflow()}/plugin/evergreen-models"


def _airflow() -> str:
    return str(conf.get("api", "base_url", fallback="http://localhost:8080/")).rstrip("/")


def tell_incidents(model: ModelFolder, at: Locations, silent: set[str] | None = None) -> dict[str, Any]:
    """Tell each sink what it has not been told yet.

    :param silent: names of sinks that hung, for whoever tells of many models.
    :returns: how many messages were told, and how many were not accepted.
    """
    from evergreen.steps.send_alerts import send_alerts

    result = send_alerts(model, at, ask_once(sinks_of(model), silent), page=page_of(model), overview=overview())
    return {"told": result.told, "failed": result.failed}


def tell_watched(folder: ModelFolder | BrokenFolder, at: Locations, silent: set[str]) -> None:
    """Tell of a folder that it does not load or stands still: the deployment's sinks, and the model's own.

    :param silent: as in ``tell_incidents``.
    """
    from evergreen.steps.send_alerts import send_alerts
    from evergreen.steps.watch_models import WATCHED

    sinks = {sink.name: sink for sink in (*deployment_sinks(), *sinks_of(folder))}
    send_alerts(folder, at, ask_once(sinks.values(), silent), WATCHED, page_of(folder), overview())


def tell_of_gone(folders: Collection[str], at: Locations, silent: set[str]) -> None:
    """Tell the deployment's sinks what models whose folder is gone have in common with others.

    :param folders: the ids of those that are there.
    :param silent: as in ``tell_incidents``.
    """
    from evergreen.steps.send_alerts import tell_common
    from evergreen.storage.stores import models_on_record

    sinks = ask_once(deployment_sinks(), silent)
    for model_id in sorted(models_on_record(at) - set(folders)):
        tell_common(model_id, at, sinks, datetime.now(UTC), overview=overview())


def tell_digest(at: Locations, now: datetime) -> None:
    """Tell the deployment's sinks today's digest, once, if ``EVERGREEN_ALERTS_DIGEST`` wants one by now.

    :param now: the moment, in UTC.
    """
    from evergreen.replay.digest import DIGEST, announce_digest
    from evergreen.steps.tell_incidents import Subject, tell

    announce_digest(find_model_folders(model_roots()).values(), at, now)
    tell(Subject(DIGEST, f"Evergreen {at.env}", overview(), runbook=""), at, deployment_sinks(), ("digest",), now)


def tell_at_once(message: Message, sinks: tuple[Sink, ...]) -> None:
    """Tell what has no record; a sink that does not take it is not asked again."""
    for sink in sinks:
        try:
            sink.tell(message)
        except Outage:
            _logger.exception("%s was not told", sink.name)


class FailureReport:
    """Open an incident for a task that has failed for good: the callback of the tasks of one DAG.

    One incident a DAG, open until no run of it has a failed task, of a retraining until the next run has none; a
    rejected or missing batch has its own.

    :param failure: the incident's cause, such as ``failed-batch``.
    """

    def __init__(self, failure: str) -> None:
        self.failure = failure

    def __call__(self, context: Context) -> None:
        """Report; where the ledger cannot be reached, tell the sinks at once."""
        task: Any = context["task"]
        error: Any = context.get("exception")
        if isinstance(error, BatchRejected | BatchMissing):
            return
        if self.failure == "failed-batch" and isinstance(error, ModelIncompatible):
            # score_batch has told of it: the incident is ``unscored``.
            return
        instance: Any = context["ti"]
        said = " ".join(str(error).split())[:600] if error else "its process was killed"
        words = Words(
            f"{task.model_id}: task {task.task_id} of {instance.dag_id}, run {instance.run_id}, failed at try "
            f"{instance.try_number}: {type(error).__name__ if error else 'no exception'}: {said}.",
            "What was done before it stands." + (" The champion stays." if self.failure == _NEXT_MENDS else ""),
            "Mend the cause, then clear the task; nothing is done twice.",
        )
        try:
            model = load_model(task.model_id)
            with acting_for(context):
                ledger = open_stores(locate(task.mlflow_conn_id), model.id).ledger
                as_of, lost = _place(task, model, ledger, context)
                lost = lost if self.failure != _NEXT_MENDS else ""
                report(ledger, self.failure, as_of, words, True, lost, place=getattr(error, "place", ""))  # type: ignore[arg-type]
                if isinstance(error, RecordUnreadable) and task.task_id == "send_alerts":
                    # Who would tell is who has failed.
                    with suppress(RecordUnreadable):
                        tell_incidents(model, locate(task.mlflow_conn_id))
        except Exception:
            _logger.exception("the incident could not be recorded; told without a record: %s", words.told)
            self._tell_at_once(task.model_id, words, str(getattr(instance, "log_url", "")))

    def _tell_at_once(self, model_id: str, words: Words, link: str) -> None:
        try:
            model = load_model(model_id)
        except Refused:
            # Who else is to be told stands in the folder that does not load.
            message = Message(model_id, self.failure, "opened", "", words.text, 1, model_id, link)
            tell_at_once(replace(message, done=words.done, todo=words.todo), deployment_sinks())
            return
        message = Message(model.id, self.failure, "opened", "", words.text, 1, model.config.title, link)
        tell_at_once(replace(message, done=words.done, todo=words.todo, page=page_of(model)), sinks_of(model))


def _place(task: Any, model: ModelFolder, ledger: Ledger, context: Context) -> tuple[str, str]:
    """The batch of a task that failed, and its run; of a slip in a Param the newest batch, and nothing is lost."""
    try:
        run: Any = context["ti"]
        return task.as_of(model, context), run.run_id
    except Refused:
        calendar = model.config.calendar
        return ledger.last_batch(BatchRecord, calendar, "rows.") or calendar.name(0), ""


def resolve_failure(model: ModelFolder, at: Locations, failure: str, as_of: str, context: Context) -> None:
    """Close the incident of a DAG's failed tasks if neither this run nor one that it was reported of has any."""
    instance: Any = context["ti"]

    def has_none(run_id: str) -> bool:
        states = instance.get_task_states(dag_id=instance.dag_id, run_ids=[run_id])
        return not _FAILED & {str(state) for state in states.get(run_id, {}).values()}

    if has_none(instance.run_id):
        text = f"{model.id}: run {instance.run_id} of {instance.dag_id} has no failed task"
        resolve(open_stores(at, model.id).ledger, failure, as_of, text, has_none)  # type: ignore[arg-type]
