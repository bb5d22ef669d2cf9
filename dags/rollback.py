"""<model>__rollback: an older version in force again, when a person says so. One Airflow DAG a model folder."""

from airflow.sdk import Param

from airflow_evergreen.assets import asset_of
from airflow_evergreen.dags import lever, models_for
from airflow_evergreen.operators.rollback_model import RollbackModelOperator
from airflow_evergreen.params import why_param

PARAMS = {
    "version": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Version",
        description="The version to go back to; empty: the one before the champion.",
    ),
    "why": why_param("Why"),
    "even_if_worse": Param(
        False,
        type="boolean",
        title="Even if worse",
        description="Without it the run fails where the gate would refuse that version, and tells the judgement.",
    ),
}

for model in models_for("rollback"):
    with lever(model, "rollback", "puts an older version in force again, after the gate was heard", PARAMS) as dag:
        RollbackModelOperator(task_id="rollback_model", model_id=model.id, outlets=[asset_of(model.id, "model")])
    globals()[dag.dag_id] = dag
