"""<model>__drift: when a champion is checked. One Airflow DAG a model folder."""

from airflow.sdk import DAG, CronDataIntervalTimetable, TriggerRule

from airflow_evergreen.dags import describe, models_for, one_run_a_batch
from airflow_evergreen.operators.apply_retention import ApplyRetentionOperator
from airflow_evergreen.operators.check_drift import CheckDriftOperator
from airflow_evergreen.operators.ingest_answers import IngestAnswersOperator
from airflow_evergreen.operators.judge_arms import JudgeArmsOperator
from airflow_evergreen.operators.send_alerts import SendAlertsOperator
from airflow_evergreen.params import run_params
from airflow_evergreen.sensors.wait_for_scores import WaitForScoresSensor

for model in models_for("drift"):
    schedule, poll = model.config.schedule, model.config.tasks.poll.total_seconds()
    with DAG(
        **describe(model, "drift", "checks the champion, and says whether to retrain"),
        schedule=CronDataIntervalTimetable(schedule.fires, timezone=schedule.zone),
        **one_run_a_batch(model),
    ) as dag:
        wait_for_scores = WaitForScoresSensor(task_id="wait_for_scores", model_id=model.id, poke_interval=poll)
        check_drift = CheckDriftOperator(task_id="check_drift", model_id=model.id)
        send_alerts = SendAlertsOperator(task_id="send_alerts", model_id=model.id, failure="failed-drift").as_teardown()
        wait_for_scores >> check_drift >> send_alerts
        if model.config.serving.keeps:
            ingest_answers = IngestAnswersOperator(task_id="ingest_answers", model_id=model.id)
            wait_for_scores >> ingest_answers >> send_alerts
        if model.config.serving.experiments:
            ingest_answers >> JudgeArmsOperator(task_id="judge_arms", model_id=model.id) >> send_alerts
        if model.config.retention.ages:
            # Where nothing is to be removed there is no task.
            apply_retention = ApplyRetentionOperator(
                task_id="apply_retention", model_id=model.id, trigger_rule=TriggerRule.NONE_FAILED
            )
            check_drift >> apply_retention >> send_alerts
    # After the tasks: Airflow would copy them into each, once for each class that it is made by.
    dag.params = run_params(model)
    globals()[dag.dag_id] = dag
