"""evergreen__watch: starts a retraining once an open verdict's attempt is due. One Airflow DAG for all models."""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG

from airflow_evergreen.dags import shortest_poll
from airflow_evergreen.sensors.retrain import RetrainSensor

with DAG(
    "evergreen__watch",
    description="Waits for attempts that are due, without a worker slot, and starts the retrain DAGs of their models",
    doc_md="One run waits for open verdicts of all models, starts `<model>__retrain` for each that is due, and ends; "
    "the next run waits on. It trains nothing itself.",
    tags={"evergreen"},
    schedule="@continuous",
    # Without it the first run's interval has no length, and the second run would have its logical date.
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    catchup=False,
    is_paused_upon_creation=False,
    default_args={
        "owner": "evergreen",
        "retries": 3,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timedelta(minutes=10),
    },
) as dag:
    # Waiting counts for what begins in the triggerer: its trigger ends within the hour, else it is begun anew.
    wait_for_verdict = RetrainSensor(
        task_id="wait_for_verdict", poke_interval=shortest_poll(), execution_timeout=timedelta(hours=2)
    )
    TriggerDagRunOperator.partial(
        task_id="start_retraining",
        skip_when_already_exists=True,
        logical_date=None,
        openlineage_inject_parent_info=False,
    ).expand_kwargs(wait_for_verdict.output)
