"""What all operators and sensors keep: they only store, their templates are plain, bad data is not tried again."""

import inspect
import json
from datetime import UTC, datetime

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import AirflowSkipException

import evergreen.errors
from airflow_evergreen.operators.approve_model import ApproveModelOperator
from airflow_evergreen.operators.ask_retraining import AskRetrainingOperator
from airflow_evergreen.operators.check_drift import CheckDriftOperator
from airflow_evergreen.operators.close_verdict import CloseVerdictOperator
from airflow_evergreen.operators.compute_views import ComputeViewsOperator
from airflow_evergreen.operators.ingest_batch import IngestBatchOperator
from airflow_evergreen.operators.judge_model import JudgeModelOperator
from airflow_evergreen.operators.promote_model import PromoteModelOperator
from airflow_evergreen.operators.register_model import RegisterModelOperator
from airflow_evergreen.operators.score_batch import ScoreBatchOperator
from airflow_evergreen.operators.send_alerts import SendAlertsOperator
from airflow_evergreen.operators.train_model import TrainModelOperator
from airflow_evergreen.operators.validate_batch import ValidateBatchOperator
from airflow_evergreen.retries import RETRIES
from airflow_evergreen.sensors.wait_for_batch import WaitForBatchSensor
from airflow_evergreen.sensors.wait_for_scores import WaitForScoresSensor
from evergreen.errors import ConfigInvalid, EvergreenError, FileRefused, FileUnreadable, NotReady, Outage, Refused
from evergreen.records import ArrivalRecord, SourceFile
from evergreen.storage.ledger import acting

ATTEMPT = {"verdict": "2024-01-14.0", "as_of": "2024-01-18", "run": 1}
JUDGED = {"attempt": "2024-01-14.0", "outcome": "passed", "why": "better"}
PLAIN = {"model_id": "taxi"}
OPERATORS = {
    IngestBatchOperator: PLAIN,
    ValidateBatchOperator: PLAIN,
    ComputeViewsOperator: PLAIN,
    ScoreBatchOperator: PLAIN,
    CheckDriftOperator: PLAIN,
    SendAlertsOperator: {**PLAIN, "failure": "failed-retrain", "attempt": ATTEMPT},
    AskRetrainingOperator: PLAIN,
    TrainModelOperator: {**PLAIN, "attempt": ATTEMPT},
    JudgeModelOperator: {**PLAIN, "attempt": ATTEMPT, "trained": {"run": "r", "trained_on": ["a", "b"], "rows": 3}},
    ApproveModelOperator: {**PLAIN, "attempt": ATTEMPT, "judged": JUDGED},
    RegisterModelOperator: {**PLAIN, "attempt": ATTEMPT},
    PromoteModelOperator: {**PLAIN, "attempt": ATTEMPT, "registered": {"version": 3}},
    CloseVerdictOperator: {**PLAIN, "attempt": ATTEMPT},
    WaitForBatchSensor: PLAIN,
    WaitForScoresSensor: PLAIN,
}
REFUSALS = [error for error in vars(evergreen.errors).values() if inspect.isclass(error) and issubclass(error, Refused)]


@pytest.fixture(params=OPERATORS, ids=lambda operator: operator.__name__)
def operator(request):
    """One of each, in a world without a model folder, a lake, or MLflow."""
    return request.param(task_id="task", **OPERATORS[request.param])


def test_making_one_reads_nothing(operator, tmp_path):
    assert operator.model_id == "taxi"
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def test_templates_hold_text_and_dicts_only(operator):
    for name in operator.template_fields:
        assert isinstance(getattr(operator, name), str | dict | None), name


def test_what_is_given_is_kept_as_given(operator):
    for name, value in OPERATORS[type(operator)].items():
        assert getattr(operator, name) is value


def test_arguments_are_named(operator):
    parameters = inspect.signature(type(operator).__init__).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == ["self"]


def test_each_says_what_it_takes_and_returns(operator):
    documentation = type(operator).__doc__
    assert "Return" in documentation
    assert "``StepOperator``" in documentation or "``AttemptOperator``" in documentation


def test_each_has_the_retry_policy(operator):
    assert operator.retry_policy is RETRIES


def test_another_retry_policy_may_be_given():
    assert IngestBatchOperator(task_id="task", model_id="taxi", retry_policy=None).retry_policy is None


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: error.__name__)
def test_a_refusal_is_not_tried_again(refusal):
    file = ("a.csv", 3, "x")
    arguments = {ConfigInvalid: ("config.yaml", ["x"]), FileUnreadable: file, FileRefused: file}.get(refusal, ("x",))
    assert RETRIES.evaluate(refusal(*arguments), 1, 3).action is RetryAction.FAIL


@pytest.mark.parametrize("error", [Outage("x"), NotReady("x"), EvergreenError("x"), OSError("x"), MemoryError()])
def test_what_may_be_over_is_tried_again(error):
    assert RETRIES.evaluate(error, 1, 3).action is RetryAction.DEFAULT


def test_a_step_is_called_with_its_batch_and_named_in_its_records(model, deployment, step, context_of):
    seen = []
    ingest = step("ingest_batch")
    file = SourceFile(name="a.csv", size=3, sha256="s", raw="r")
    record = ArrivalRecord(as_of="2024-01-02", feed="rows", revision=0, files=(file, file))
    ingest.side_effect = lambda *_: seen.append(acting.get()) or record
    operator = IngestBatchOperator(task_id="ingest_batch", model_id="taxi")
    assert operator.execute(context_of()) == {"batch": "2024-01-02", "files": 2, "bytes": 6}
    (given, at, batch, feed), _ = ingest.call_args
    assert (given.id, at, batch, feed) == ("taxi", deployment, "2024-01-02", "rows")
    assert seen == [context_of()["ti"].log_url]


def test_labels_inside_the_rows_are_no_files(model, step, context_of):
    ingest = step("ingest_batch", None)
    found = IngestBatchOperator(task_id="ingest_labels", model_id="taxi", feed="labels").execute(context_of())
    assert found == {"batch": "2024-01-02", "files": 0, "bytes": 0}
    assert ingest.call_args.args[3] == "labels"


@pytest.mark.parametrize("operator", [IngestBatchOperator, ValidateBatchOperator])
def test_a_feed_that_is_none_is_refused_with_those_that_are(operator, model, context_of):
    with pytest.raises(Refused, match=r"^feed: found 'label'; valid: rows, labels"):
        operator(task_id="task", model_id="taxi", feed="label").execute(context_of())


def test_mlflow_is_where_its_connection_says(model, step, context_of, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_PROD", json.dumps({"conn_type": "mlflow", "host": "prod", "port": 5000}))
    ingest = step("ingest_batch", None)
    IngestBatchOperator(task_id="task", model_id="taxi", mlflow_conn_id="mlflow_prod").execute(context_of())
    assert ingest.call_args.args[1].tracking_uri == "http://prod:5000"


def test_a_broken_folder_is_refused_naming_file_and_field(write_folder, edit_config, context_of):
    write_folder("bikes", config=edit_config("wait: 6h", "wait: 6"))
    with pytest.raises(ConfigInvalid, match=r"bikes/config\.yaml: source\.wait"):
        IngestBatchOperator(task_id="task", model_id="bikes").execute(context_of())


def test_an_interval_before_the_first_batch_is_skipped(model, step, context_of):
    ingest = step("ingest_batch")
    with pytest.raises(AirflowSkipException):
        IngestBatchOperator(task_id="task", model_id="taxi").execute(
            context_of(end=datetime(2024, 1, 1, 12, tzinfo=UTC))
        )
    ingest.assert_not_called()
