"""<model>__reingest: a sealed batch taken in again, when a person says so. One Airflow DAG a model folder."""

from airflow.sdk import Param

from airflow_evergreen.assets import asset_of
from airflow_evergreen.dags import lever, models_for
from airflow_evergreen.operators.reingest_batch import ReingestBatchOperator
from airflow_evergreen.params import batch_param

for model in models_for("reingest"):
    feed = Param("rows", type="string", enum=["rows", "labels"], title="Feed", description="Rows, or their labels.")
    with lever(
        model,
        "reingest",
        "takes a sealed batch in again, from the files that are there now",
        {"batch": batch_param(model, "The batch to take in again"), "feed": feed},
    ) as dag:
        ReingestBatchOperator(
            task_id="reingest_batch",
            model_id=model.id,
            batch="{{ params.batch }}",
            feed="{{ params.feed }}",
            outlets=[asset_of(model.id, "rows"), asset_of(model.id, "labels")],
        )
    globals()[dag.dag_id] = dag
