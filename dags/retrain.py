"""<model>__retrain: how a verdict that asks is answered. One Airflow DAG a model folder, begun by watch or person."""

from airflow.sdk import DAG

from airflow_evergreen.assets import asset_of
from airflow_evergreen.dags import describe, heavy, models_for
from airflow_evergreen.operators.approve_model import ApproveModelOperator
from airflow_evergreen.operators.ask_retraining import AskRetrainingOperator
from airflow_evergreen.operators.close_verdict import CloseVerdictOperator
from airflow_evergreen.operators.judge_model import JudgeModelOperator
from airflow_evergreen.operators.promote_model import PromoteModelOperator
from airflow_evergreen.operators.register_model import RegisterModelOperator
from airflow_evergreen.operators.send_alerts import SendAlertsOperator
from airflow_evergreen.operators.train_model import TrainModelOperator
from airflow_evergreen.params import attempt_params

for model in models_for("retrain"):
    with DAG(
        **describe(model, "retrain", "trains a challenger, judges it against the champion, and promotes the better"),
        schedule=None,
        # One at a time: two trainings of one model would compete for one verdict.
        max_active_runs=1,
    ) as dag:
        ask_retraining = AskRetrainingOperator(task_id="ask_retraining", model_id=model.id)
        attempt = ask_retraining.output
        train_model = TrainModelOperator(task_id="train_model", model_id=model.id, attempt=attempt, **heavy(model))
        judge_model = JudgeModelOperator(
            task_id="judge_model", model_id=model.id, attempt=attempt, trained=train_model.output, **heavy(model)
        )
        approve_model = ApproveModelOperator(
            task_id="approve_model", model_id=model.id, attempt=attempt, judged=judge_model.output
        )
        register_model = RegisterModelOperator(
            task_id="register_model", model_id=model.id, attempt=attempt, **heavy(model)
        )
        promote_model = PromoteModelOperator(
            task_id="promote_model",
            model_id=model.id,
            attempt=attempt,
            registered=register_model.output,
            outlets=[asset_of(model.id, "model")],
        )
        close_verdict = CloseVerdictOperator(
            task_id="close_verdict", model_id=model.id, attempt=attempt, trigger_rule="all_done"
        )
        send_alerts = SendAlertsOperator(
            task_id="send_alerts", model_id=model.id, attempt=attempt, failure="failed-retrain"
        ).as_teardown()
        train_model >> judge_model >> approve_model >> register_model >> promote_model >> close_verdict >> send_alerts
    # After the tasks: Airflow would copy them into each, once for each class that it is made by.
    dag.params = attempt_params(model)
    globals()[dag.dag_id] = dag
