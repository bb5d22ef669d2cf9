"""<model>__reproduce: a version fitted once more from its record, for a person. One Airflow DAG a model folder."""

from airflow.sdk import Param

from airflow_evergreen.dags import heavy, lever, models_for
from airflow_evergreen.operators.reproduce_model import ReproduceModelOperator
from airflow_evergreen.params import why_param

PARAMS = {
    "version": Param(type="integer", minimum=1, title="Version", description="The version to fit once more."),
    "why": why_param("Why"),
}

for model in models_for("reproduce"):
    with lever(
        model, "reproduce", "fits a version once more from its record, aside, and says what differs", PARAMS
    ) as dag:
        ReproduceModelOperator(task_id="reproduce_model", model_id=model.id, **heavy(model))
    globals()[dag.dag_id] = dag
