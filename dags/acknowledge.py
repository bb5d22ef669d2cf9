"""<model>__acknowledge: a person says that an incident is over, or may wait. One Airflow DAG a model folder."""

from airflow.sdk import Param

from airflow_evergreen.dags import lever, models_for
from airflow_evergreen.operators.acknowledge_incident import AcknowledgeIncidentOperator
from airflow_evergreen.params import why_param

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
    with lever(model, "acknowledge", "closes or snoozes an incident because a person says so", PARAMS) as dag:
        AcknowledgeIncidentOperator(task_id="acknowledge_incident", model_id=model.id)
    globals()[dag.dag_id] = dag
