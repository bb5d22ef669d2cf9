"""Telling of incidents, and the incidents that failed tasks are."""

import logging
from typing import Any

from airflow.sdk import Context

from airflow_evergreen.hooks.slack_sink import SlackSink
from airflow_evergreen.runtime import acting_for, load_model, locate
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import BatchMissing, BatchRejected, Outage, Refused
from evergreen.incidents import report, resolve
from evergreen.sinks import LogSink, Message, Sink
from evergreen.storage.stores import open_stores

_logger = logging.getLogger(__name__)
_FAILED = {"failed", "upstream_failed"}


def sinks_of(model: ModelFolder) -> tuple[Sink, ...]:
    """Who is told of a model's incidents: the log, ``alerts.http``, and Slack where its connection is there."""
    from evergreen.steps.send_alerts import default_sinks

    sinks, slack = default_sinks(model), model.config.alerts.slack
    if slack is None:
        return sinks
    if not SlackSink.configured(slack):
        _logger.warning("model %s: alerts.slack names connection %s, which is not there; logged only", model.id, slack)
        return sinks
    return (*sinks, SlackSink(slack, model.config.alerts.channel))


def tell_incidents(model: ModelFolder, at: Locations) -> dict[str, Any]:
    """Tell each sink what it has not been told yet.

    :returns: how many messages were told, and how many were not accepted.
    """
    from evergreen.steps.send_alerts import send_alerts

    result = send_alerts(model, at, sinks_of(model))
    return {"told": result.told, "failed": result.failed}


class FailureReport:
    """Open an incident for a task that has failed for good: the callback of the tasks of one DAG.

    One incident a DAG, open until one of its runs has no failed task; a rejected or missing batch has its own.

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
        instance: Any = context["ti"]
        said = " ".join(str(error).split())[:600] if error else "its process was killed"
        text = (
            f"{task.model_id}: task {task.task_id} of {instance.dag_id}, run {instance.run_id}, failed at try "
            f"{instance.try_number}: {type(error).__name__ if error else 'no exception'}: {said}. Mend the cause, then "
            "clear the task; nothing is done twice."
        )
        try:
            model = load_model(task.model_id)
            with acting_for(context):
                ledger = open_stores(locate(task.mlflow_conn_id), model.id).ledger
                report(ledger, self.failure, task.as_of(model, context), text, again=True)  # type: ignore[arg-type]
        except Exception:
            _logger.exception("the incident could not be recorded; told without a record: %s", text)
            self._tell_at_once(task.model_id, text, str(getattr(instance, "log_url", "")))

    def _tell_at_once(self, model_id: str, text: str, link: str) -> None:
        try:
            model = load_model(model_id)
        except Refused:
            # Who else is to be told stands in the folder that does not load.
            LogSink().tell(Message(model_id, self.failure, "opened", "", text, 1, model_id, link))
            return
        message = Message(model.id, self.failure, "opened", "", text, 1, model.config.title, link)
        for sink in sinks_of(model):
            try:
                sink.tell(message)
            except Outage:
                _logger.exception("%s was not told", sink.name)


def resolve_failure(model: ModelFolder, at: Locations, failure: str, as_of: str, context: Context) -> None:
    """Close the incident of a DAG's failed tasks if this run has none."""
    instance: Any = context["ti"]
    states = instance.get_task_states(dag_id=instance.dag_id, run_ids=[instance.run_id])
    if not _FAILED & {str(state) for state in states.get(instance.run_id, {}).values()}:
        text = f"{model.id}: run {instance.run_id} of {instance.dag_id} has no failed task"
        resolve(open_stores(at, model.id).ledger, failure, as_of, text)  # type: ignore[arg-type]
