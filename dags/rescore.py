"""<model>__rescore: a range of batches scored again, when a person says so. One Airflow DAG a model folder."""

from airflow.sdk import Param

from airflow_evergreen.assets import asset_of
from airflow_evergreen.dags import lever, models_for
from airflow_evergreen.operators.rescore_batches import RescoreBatchesOperator
from airflow_evergreen.params import batch_param, why_param

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
    with lever(
        model, "rescore", "scores a range of batches again, as a further revision of their predictions", params
    ) as dag:
        RescoreBatchesOperator(
            task_id="rescore_batches", model_id=model.id, outlets=[asset_of(model.id, "predictions")]
        )
    globals()[dag.dag_id] = dag
