"""<model>__arms: who answers online beside the champion, as a person says. One DAG a model that tries challengers."""

from airflow.sdk import Param

from airflow_evergreen.dags import lever, models_for
from airflow_evergreen.operators.try_challenger import TryChallengerOperator
from airflow_evergreen.params import why_param

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
    with lever(model, "arms", "lets a version answer online beside the champion, or ends that", PARAMS) as dag:
        TryChallengerOperator(task_id="try_challenger", model_id=model.id)
    globals()[dag.dag_id] = dag
