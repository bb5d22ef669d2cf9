"""<model>__reproduce: a version fitted once more from its record, for a person. One Airflow DAG a model folder."""

from airflow.sdk import DAG, Param

from airflow_evergreen.dags import describe, heavy, models_for, why_param
from airflow_evergreen.operators.reproduce_model import ReproduceModelOperator
from airflow_evergreen.operators.send_alerts import SendAlertsOperator

PARAMS = {
    "version": Param(type="integer", minimum=1, title="Version", description="The version to fit once more."),
    "why": why_param("Why"),
}

for model in models_for("reproduce"):
    with DAG(
        **describe(model, "reproduce", "fits a version once more from its record, aside, and says what differs"),
        schedule=None,
        max_active_runs=1,
    ) as dag:
        reproduce_model = ReproduceModelOperator(task_id="reproduce_model", model_id=model.id, **heavy(model))
        reproduce_model >> SendAlertsOperator(task_id="send_alerts", model_id=model.id).as_teardown()
    # After the tasks: Airflow would copy them into each, once for each class that it is made by.
    dag.params = PARAMS
    globals()[dag.dag_id] = dag
