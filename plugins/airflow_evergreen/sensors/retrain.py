"""Watch for verdicts that ask for a retraining."""

from typing import Any

from airflow.sdk import BaseSensorOperator, Context
from airflow.triggers.base import StartTriggerArgs

from airflow_evergreen.alerts import tell_incidents
from airflow_evergreen.hooks.tracking import MlflowHook
from airflow_evergreen.runtime import acting_for, load_model, locate
from evergreen.incidents import report
from evergreen.storage.stores import open_stores


class RetrainSensor(BaseSensorOperator):
    """Wait, without ever taking a worker slot for it, until attempts are due; one sensor watches all models.

    Returns the runs to start, as ``TriggerDagRunOperator`` takes them: expand one over its output. A retrain DAG that
    is paused is reported; its run waits in the queue and starts when it is unpaused.

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
        """Hand over the runs to start."""
        for run in event:
            try:
                self._report_paused(context, run)
            except Exception:
                self.log.exception("%s: whether it is paused could not be told; its run is started", run)
        return event

    def _report_paused(self, context: Context, run: dict[str, Any]) -> None:
        instance: Any = context["ti"]
        dag_id, attempt = run["trigger_dag_id"], run["conf"]
        if not instance.get_dag(dag_id).is_paused:
            return
        model = load_model(dag_id.removesuffix("__retrain"))
        at = locate(self.mlflow_conn_id)
        text = (
            f"{model.id}: verdict {attempt['verdict']} asks for a retraining, and {dag_id} is paused. Champion stays; "
            f"run {run['trigger_run_id']} waits in the queue. Unpause {dag_id}, and it starts."
        )
        with acting_for(context):
            report(open_stores(at, model.id).ledger, "paused", attempt["as_of"], text)
            tell_incidents(model, at)
