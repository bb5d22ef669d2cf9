"""Hands each day's predictions to another team: our sensors and operators beside Airflow's own, in one DAG file."""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, CronDataIntervalTimetable

from airflow_evergreen.operators.send_alerts import SendAlertsOperator
from airflow_evergreen.sensors.wait_for_scores import WaitForScoresSensor
from airflow_evergreen.sensors.wait_for_source import WaitForSourceSensor

DAY = "{{ data_interval_start | ds }}"


def export_predictions(batch: str, folder: str) -> str:
    """Write the predictions of a batch as CSV."""
    from evergreen import read_predictions

    path = f"{folder}/predictions_{batch}.csv"
    read_predictions("taxi", batch).to_csv(path, index=False)
    return path


with DAG(
    "taxi_export",
    schedule=CronDataIntervalTimetable("0 3 * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
    params={"folder": "/data"},
):
    # A file that no model folder knows of: say where it lies, and what makes it complete.
    wait_for_prices = WaitForSourceSensor(
        task_id="wait_for_prices",
        batch=DAY,
        location="{{ params.folder }}",
        files="prices_{batch:%Y-%m-%d}.csv",
        complete={"marker": "prices_{batch:%Y-%m-%d}.done"},
        wait=timedelta(days=10_000),
        poke_interval=5,
    )
    # The model's own batch: scored by the champion of its time, or by nobody, which is on record too.
    wait_for_scores = WaitForScoresSensor(task_id="wait_for_scores", model_id="taxi", batch=DAY)
    export = PythonOperator(
        task_id="export",
        python_callable=export_predictions,
        op_kwargs={"batch": DAY, "folder": "{{ params.folder }}"},
    )
    send_alerts = SendAlertsOperator(task_id="send_alerts", model_id="taxi", batch=DAY)
    [wait_for_prices, wait_for_scores] >> export >> send_alerts.as_teardown()
