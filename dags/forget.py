"""<model>__forget: a person's rows removed for good, when a person says so. One Airflow DAG a model folder."""

from airflow.sdk import Param

from airflow_evergreen.dags import lever, models_for
from airflow_evergreen.operators.forget_rows import ForgetRowsOperator
from airflow_evergreen.params import why_param

for model in models_for("forget"):
    rows = model.config.rows
    params = {
        "key": Param(
            type="string",
            minLength=1,
            format="multiline",
            title="Key",
            description=f"What names the rows: a value of {', '.join(rows.key)}, or of the columns below; a line each.",
        ),
        "column": Param(
            None,
            type=["null", "string"],
            format="multiline",
            title="Column",
            description=f"Columns that these are values of, a line each, of {', '.join(rows.columns)}; empty: the key.",
        ),
        "why": why_param("Why; without the key"),
    }
    with lever(model, "forget", "removes the rows of a key from all that is kept, for good", params) as dag:
        ForgetRowsOperator(task_id="forget_rows", model_id=model.id)
    globals()[dag.dag_id] = dag
