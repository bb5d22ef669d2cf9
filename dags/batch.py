"""<model>__batch: when a batch is taken in and scored. One Airflow DAG a model folder."""

from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup

from airflow_evergreen.assets import asset_of
from airflow_evergreen.dags import describe, models_for, one_run_a_batch
from airflow_evergreen.operators.compute_views import ComputeViewsOperator
from airflow_evergreen.operators.ingest_batch import IngestBatchOperator
from airflow_evergreen.operators.score_batch import ScoreBatchOperator
from airflow_evergreen.operators.send_alerts import SendAlertsOperator
from airflow_evergreen.operators.validate_batch import ValidateBatchOperator
from airflow_evergreen.params import run_params
from airflow_evergreen.sensors.wait_for_batch import WaitForBatchSensor

for model in models_for("batch"):
    schedule, poll = model.config.schedule, model.config.tasks.poll.total_seconds()
    with DAG(
        **describe(model, "batch", "takes a batch in, validates it, and scores it with the champion of its time"),
        schedule=CronDataIntervalTimetable(schedule.fires, timezone=schedule.zone),
        **one_run_a_batch(model),
    ) as dag:
        wait_for_batch = WaitForBatchSensor(task_id="wait_for_batch", model_id=model.id, poke_interval=poll)
        ingest_batch = IngestBatchOperator(task_id="ingest_batch", model_id=model.id)
        validate_batch = ValidateBatchOperator(
            task_id="validate_batch", model_id=model.id, outlets=[asset_of(model.id, "rows")]
        )
        # Also after a batch that was rejected or never came: that nobody scores it goes on record.
        score_batch = ScoreBatchOperator(
            task_id="score_batch",
            model_id=model.id,
            trigger_rule="all_done",
            outlets=[asset_of(model.id, "predictions")],
        )
        send_alerts = SendAlertsOperator(task_id="send_alerts", model_id=model.id, failure="failed-batch").as_teardown()
        wait_for_batch >> ingest_batch >> validate_batch >> score_batch >> send_alerts
        if model.config.features.views:
            # Of a batch that was rejected, too, the views go on: its rows are not among them.
            compute_views = ComputeViewsOperator(task_id="compute_views", model_id=model.id, trigger_rule="all_done")
            validate_batch >> compute_views >> score_batch

        if model.config.labels is not None:
            with TaskGroup("labels", prefix_group_id=False, tooltip="Beside the rows, never in their way"):
                wait_for_labels = WaitForBatchSensor(
                    task_id="wait_for_labels",
                    model_id=model.id,
                    feed="labels",
                    poke_interval=poll,
                )
                ingest_labels = IngestBatchOperator(task_id="ingest_labels", model_id=model.id, feed="labels")
                validate_labels = ValidateBatchOperator(
                    task_id="validate_labels", model_id=model.id, feed="labels", outlets=[asset_of(model.id, "labels")]
                )
                wait_for_labels >> ingest_labels >> validate_labels
    # After the tasks: Airflow would copy them into each, once for each class that it is made by.
    dag.params = run_params(model)
    globals()[dag.dag_id] = dag
