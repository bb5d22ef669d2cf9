"""<model>__arms: who answers online beside the champion, as a person says. One DAG a model that tries challengers."""

from airflow.sdk import DAG, Param

from airflow_evergreen.dags import describe, models_for, why_param
from airflow_evergreen.operators.send_alerts import SendAlertsOperator
from airflow_evergreen.operators.try_challenger import TryChallengerOperator

PARAMS = {
    "challenger": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Challenger",
        description="The version, promoted once, to answer beside the champion; empty: the champion alone again.",
    ),
    "why": why_param("Why"),
}

for model in models_for("arms"):
    if not model.config.serving.experiments:
        continue
    with DAG(
        **describe(model, "arms", "lets a version answer online beside the champion, or ends that"),
        schedule=None,
        max_active_runs=1,
    ) as dag:
        try_challenger = TryChallengerOperator(task_id="try_challenger", model_id=model.id)
        try_challenger >> SendAlertsOperator(task_id="send_alerts", model_id=model.id).as_teardown()
    # After the tasks: Airflow would copy them into each, once for each class that it is made by.
    dag.params = PARAMS
    globals()[dag.dag_id] = dag
