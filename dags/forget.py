"""<model>__forget: a person's rows removed for good, when a person says so. One Airflow DAG a model folder."""

from airflow.sdk import DAG, Param

from airflow_evergreen.dags import describe, models_for, why_param
from airflow_evergreen.operators.forget_rows import ForgetRowsOperator
from airflow_evergreen.operators.send_alerts import SendAlertsOperator

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
    with DAG(
        **describe(model, "forget", "removes the rows of a key from all that is kept, for good"),
        schedule=None,
        max_active_runs=1,
    ) as dag:
        forget_rows = ForgetRowsOperator(task_id="forget_rows", model_id=model.id)
        forget_rows >> SendAlertsOperator(task_id="send_alerts", model_id=model.id).as_teardown()
    # After the tasks: Airflow would copy them into each, once for each class that it is made by.
    dag.params = params
    globals()[dag.dag_id] = dag
