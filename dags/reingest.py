"""<model>__reingest: a sealed batch taken in again, when a person says so. One Airflow DAG a model folder."""

from airflow.sdk import DAG, Param

from airflow_evergreen.assets import asset_of
from airflow_evergreen.dags import batch_param, describe, models_for
from airflow_evergreen.operators.reingest_batch import ReingestBatchOperator
from airflow_evergreen.operators.send_alerts import SendAlertsOperator

for model in models_for("reingest"):
    feed = Param("rows", type="string", enum=["rows", "labels"], title="Feed", description="Rows, or their labels.")
    with DAG(
        **describe(model, "reingest", "takes a sealed batch in again, from the files that are there now"),
        schedule=None,
        max_active_runs=1,
    ) as dag:
        reingest_batch = ReingestBatchOperator(
            task_id="reingest_batch",
            model_id=model.id,
            batch="{{ params.batch }}",
            feed="{{ params.feed }}",
            outlets=[asset_of(model.id, "rows"), asset_of(model.id, "labels")],
        )
        reingest_batch >> SendAlertsOperator(task_id="send_alerts", model_id=model.id).as_teardown()
    # After the tasks: Airflow would copy them into each, once for each class that it is made by.
    dag.params = {"batch": batch_param(model, "The batch to take in again"), "feed": feed}
    globals()[dag.dag_id] = dag
