"""<model>__drift: when a champion is checked. One Airflow DAG a model folder."""

from airflow.sdk import DAG, CronDataIntervalTimetable, Param

from evergreen.folders import describe, models_for
from evergreen.operators.check_drift import CheckDriftOperator
from evergreen.operators.send_alerts import SendAlertsOperator
from evergreen.sensors.wait_for_scores import WaitForScoresSensor

BATCH = Param(
    None,
    type=["null", "string"],
    title="Batch",
    description="The last batch that the check covers, such as 2024-01-31; empty: as the run's data interval says.",
)

for model in models_for("drift"):
    schedule, tasks = model.config.schedule, model.config.tasks
    with DAG(
        **describe(model, "drift", "checks the champion, and says whether to retrain"),
        schedule=CronDataIntervalTimetable(schedule.fires, timezone=schedule.zone),
        start_date=schedule.start,
        catchup=True,
        end_date=schedule.last_moment,
        # Room to clear an old check while the next one waits; order is kept by the sensor.
        max_active_runs=16,
        params={"batch": BATCH},
    ):
        wait_for_scores = WaitForScoresSensor(
            task_id="wait_for_scores", model_id=model.id, poke_interval=tasks.poll.total_seconds()
        )
        check_drift = CheckDriftOperator(task_id="check_drift", model_id=model.id)
        send_alerts = SendAlertsOperator(task_id="send_alerts", model_id=model.id, failure="failed-drift").as_teardown()
        wait_for_scores >> check_drift >> send_alerts
