"""<model>__rescore: a range of batches scored again, when a person says so. One Airflow DAG a model folder."""

from airflow.sdk import DAG, Param

from airflow_evergreen.assets import asset_of
from airflow_evergreen.dags import batch_param, describe, models_for, why_param
from airflow_evergreen.operators.rescore_batches import RescoreBatchesOperator
from airflow_evergreen.operators.send_alerts import SendAlertsOperator

for model in models_for("rescore"):
    params = {
        "first": batch_param(model, "The first batch to score again", title="From"),
        "last": batch_param(model, "The last one, itself included", title="To"),
        "version": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Version",
            description="The version to score with; empty: the champion of each batch's time.",
        ),
        "why": why_param("Why"),
    }
    with DAG(
        **describe(model, "rescore", "scores a range of batches again, as a further revision of their predictions"),
        schedule=None,
        max_active_runs=1,
    ) as dag:
        rescore_batches = RescoreBatchesOperator(
            task_id="rescore_batches", model_id=model.id, outlets=[asset_of(model.id, "predictions")]
        )
        rescore_batches >> SendAlertsOperator(task_id="send_alerts", model_id=model.id).as_teardown()
    # After the tasks: Airflow would copy them into each, once for each class that it is made by.
    dag.params = params
    globals()[dag.dag_id] = dag
