"""<model>__acknowledge: a person says that an incident is over, or may wait. One Airflow DAG a model folder."""

from airflow.sdk import DAG, Param

from airflow_evergreen.dags import describe, models_for, why_param
from airflow_evergreen.operators.acknowledge_incident import AcknowledgeIncidentOperator
from airflow_evergreen.operators.send_alerts import SendAlertsOperator

PARAMS = {
    "incident": Param(
        type="string",
        pattern="^[a-z-]+[.][0-9]+$",
        title="Incident",
        description="Its id, such as fault-rows.0, as messages and the model's page tell it.",
    ),
    "why": why_param("Why it is over, or may wait"),
    "until": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Until",
        description="Leave it open, and tell nothing of it before this day (UTC); empty: it is over.",
    ),
}

for model in models_for("acknowledge"):
    with DAG(
        **describe(model, "acknowledge", "closes or snoozes an incident because a person says so"),
        schedule=None,
        max_active_runs=1,
    ) as dag:
        acknowledge_incident = AcknowledgeIncidentOperator(task_id="acknowledge_incident", model_id=model.id)
        acknowledge_incident >> SendAlertsOperator(task_id="send_alerts", model_id=model.id).as_teardown()
    # After the tasks: Airflow would copy them into each, once for each class that it is made by.
    dag.params = PARAMS
    globals()[dag.dag_id] = dag
