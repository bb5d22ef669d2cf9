"""Failed tasks are incidents: one a DAG, on record if there is a ledger, told at once if there is none."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from airflow.sdk import DAG

from airflow_evergreen.alerts import FailureReport, resolve_failure
from airflow_evergreen.operators.ask_retraining import AskRetrainingOperator
from airflow_evergreen.operators.close_verdict import CloseVerdictOperator
from airflow_evergreen.operators.ingest_batch import IngestBatchOperator
from airflow_evergreen.operators.send_alerts import SendAlertsOperator
from airflow_evergreen.operators.train_model import TrainModelOperator
from airflow_evergreen.operators.validate_batch import ValidateBatchOperator
from airflow_evergreen.sensors.wait_for_batch import WaitForBatchSensor
from airflow_evergreen.sensors.wait_for_scores import WaitForScoresSensor
from evergreen.errors import (
    BatchMissing,
    BatchRejected,
    ModelIncompatible,
    NotReady,
    Outage,
    RecordUnreadable,
    Refused,
)
from evergreen.incidents import last_incident, newest_incidents, report
from evergreen.records import BatchRecord
from evergreen.storage.stores import open_stores
from tests.fake_slack import fake_slack
from tests.unit.plugins.conftest import Instance

ATTEMPT = {"verdict": "2024-01-14.0", "as_of": "2024-01-18", "run": 1}


def failed(context_of, error, task=None, instance=None, **options):
    task = task or IngestBatchOperator(task_id="ingest_batch", model_id="taxi")
    return {**context_of(instance, task=task, **options), "exception": error}


def test_a_failed_task_opens_an_incident_that_says_what_and_what_to_do(model, ledger, context_of):
    FailureReport("failed-batch")(failed(context_of, Outage("bucket raw does not answer")))
    incident = last_incident(ledger, "failed-batch")
    assert incident.opened.as_of == "2024-01-02"
    for said in (
        "taxi",
        "ingest_batch",
        "taxi__batch",
        "scheduled__1",
        "try 4",
        "Outage: bucket raw",
        "clear the task",
    ):
        assert said in incident.opened.told
    assert incident.opened.meta["by"].endswith("/tasks/score_batch")


def test_all_tasks_of_a_dag_are_one_incident(model, ledger, context_of):
    report_failure = FailureReport("failed-batch")
    report_failure(failed(context_of, Outage("a")))
    report_failure(failed(context_of, NotReady("b"), SendAlertsOperator(task_id="send_alerts", model_id="taxi")))
    report_failure(failed(context_of, Outage("c"), batch="2024-01-03"))
    incident = last_incident(ledger, "failed-batch")
    assert incident.opened.n == 0
    assert incident.sightings == 2
    assert [one.opened.cause for one in newest_incidents(ledger)] == ["failed-batch"]


def test_a_task_that_cannot_tell_for_a_damaged_record_is_told_of_itself(model, ledger, deployment, context_of, caplog):
    report(ledger, "fault-rows", "2024-01-01", "fault")
    damaged = Path(deployment.lake) / "ledger" / deployment.env / "taxi" / "incident" / "fault-rows" / "0.json"
    damaged.write_bytes(b"{")
    open_stores.cache_clear()
    with caplog.at_level(logging.WARNING, logger="airflow_evergreen.alerts"):
        task = SendAlertsOperator(task_id="send_alerts", model_id="taxi")
        FailureReport("failed-batch")(failed(context_of, RecordUnreadable(f"record {damaged} is damaged"), task))
    told = [record.getMessage() for record in caplog.records if record.name == "airflow_evergreen.alerts"]
    assert len(told) == 1
    assert told[0].startswith("failed-batch.0 opened (2024-01-02): taxi: task send_alerts")
    assert "fault-rows/0.json is damaged" in told[0]


def test_a_champion_that_cannot_be_loaded_is_told_by_score_batch_and_by_any_other_task_here(model, ledger, context_of):
    for failure in ("failed-batch", "failed-drift"):
        FailureReport(failure)(failed(context_of, ModelIncompatible("features.py has SHA-256 ab")))
    assert [one.opened.cause for one in newest_incidents(ledger)] == ["failed-drift"]


@pytest.mark.parametrize("error", [BatchRejected("811 rows"), BatchMissing("did not come")])
def test_a_rejected_or_missing_batch_has_an_incident_of_its_own(error, model, ledger, context_of):
    FailureReport("failed-batch")(failed(context_of, error))
    assert newest_incidents(ledger) == []


def test_a_killed_process_is_told_as_such(model, ledger, context_of):
    FailureReport("failed-batch")(context_of(task=IngestBatchOperator(task_id="ingest_batch", model_id="taxi")))
    assert "its process was killed" in last_incident(ledger, "failed-batch").opened.told


@pytest.mark.parametrize(
    "task",
    [
        WaitForBatchSensor(task_id="wait_for_batch", model_id="taxi"),
        WaitForScoresSensor(task_id="wait_for_scores", model_id="taxi"),
        ValidateBatchOperator(task_id="validate_labels", model_id="taxi", feed="labels"),
    ],
    ids=lambda task: task.task_id,
)
def test_every_kind_of_task_can_be_reported(task, model, ledger, context_of):
    FailureReport("failed-drift")(failed(context_of, Outage("x"), task))
    assert task.task_id in last_incident(ledger, "failed-drift").opened.told


def test_a_retraining_is_reported_at_its_attempts_batch(model, ledger, context_of):
    task = TrainModelOperator(task_id="train_model", model_id="taxi", attempt=ATTEMPT)
    FailureReport("failed-retrain")(failed(context_of, Outage("x"), task, end=None))
    assert last_incident(ledger, "failed-retrain").opened.as_of == "2024-01-18"


def test_a_killed_training_is_reported_at_its_attempts_batch(model, ledger, context_of):
    with DAG("taxi__retrain", schedule=None, start_date=datetime(2024, 1, 1)):
        ask = AskRetrainingOperator(task_id="ask_retraining", model_id="taxi")
        task = TrainModelOperator(task_id="train_model", model_id="taxi", attempt=ask.output)
    context = context_of(task=task, end=None)
    context["ti"].xcom_pull = lambda **_: ATTEMPT
    FailureReport("failed-retrain")(context)
    assert last_incident(ledger, "failed-retrain").opened.as_of == "2024-01-18"


def test_a_retraining_that_cannot_begin_is_put_on_record(model, ledger, context_of):
    task = AskRetrainingOperator(task_id="ask_retraining", model_id="taxi")
    params = {"verdict": "2024-01-14.0", "as_of": "2024-01-18", "run": 1}
    FailureReport("failed-retrain")(failed(context_of, Outage("x"), task, end=None, **params))
    assert last_incident(ledger, "failed-retrain").opened.as_of == "2024-01-18"


def test_a_wish_that_fails_before_any_check_is_put_on_record_at_the_start(model, ledger, context_of):
    task = AskRetrainingOperator(task_id="ask_retraining", model_id="taxi")
    FailureReport("failed-retrain")(failed(context_of, NotReady("nothing was checked"), task, end=None, as_of=None))
    assert last_incident(ledger, "failed-retrain").opened.as_of == "2024-01-01"


def test_a_verdict_that_could_not_be_closed_is_put_on_record(model, ledger, context_of):
    task = CloseVerdictOperator(task_id="close_verdict", model_id="taxi", attempt=None)
    FailureReport("failed-retrain")(failed(context_of, Refused("no attempt to work on"), task, end=None))
    assert last_incident(ledger, "failed-retrain").opened.as_of == "2024-01-01"


def test_a_ledger_that_does_not_answer_is_no_reason_to_be_silent(model, deployment, context_of, caplog, monkeypatch):
    monkeypatch.setenv("EVERGREEN_LAKE", "s3://no-such-bucket/lake")
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level(logging.WARNING, logger="airflow_evergreen.alerts"):
        FailureReport("failed-batch")(failed(context_of, Outage("the lake is gone")))
    told = [record.getMessage() for record in caplog.records if record.name == "airflow_evergreen.alerts"]
    assert any("failed-batch opened" in line and "the lake is gone" in line for line in told)


@pytest.fixture
def no_ledger(monkeypatch, tmp_path):
    """A lake that cannot be opened: its folder is a file."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVERGREEN_LAKE", str(tmp_path / "file" / "lake"))


def test_without_a_ledger_slack_is_told_at_once(write_folder, edit_config, context_of, no_ledger, monkeypatch):
    alerts = "alerts: {slack: team, channel: '#models'}\nfeatures: "
    write_folder("bikes", config=edit_config("features: ", alerts))
    with fake_slack() as slack:
        monkeypatch.setenv("AIRFLOW_CONN_TEAM", slack.api)
        task = IngestBatchOperator(task_id="ingest_batch", model_id="bikes")
        FailureReport("failed-batch")(failed(context_of, Outage("the lake is gone"), task))
        assert ["failed-batch opened" in said.body["text"] for said in slack.messages] == [True]


def test_without_a_ledger_one_sink_that_is_down_silences_no_other(
    write_folder, edit_config, context_of, no_ledger, monkeypatch
):
    alerts = "alerts: {http: 'http://127.0.0.1:1/', slack: team, channel: '#models'}\nfeatures: "
    write_folder("bikes", config=edit_config("features: ", alerts))
    with fake_slack() as slack:
        monkeypatch.setenv("AIRFLOW_CONN_TEAM", slack.api)
        task = IngestBatchOperator(task_id="ingest_batch", model_id="bikes")
        FailureReport("failed-batch")(failed(context_of, Outage("the lake is gone"), task))
        assert len(slack.messages) == 1


def test_a_folder_that_broke_meanwhile_is_no_reason_to_be_silent(model, context_of, caplog):
    (model.path / "config.yaml").write_text("title: [")
    with caplog.at_level(logging.WARNING):
        FailureReport("failed-batch")(failed(context_of, Outage("the disk is full")))
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("failed-batch opened")]
    assert len(told) == 1
    assert "the disk is full" in told[0]


def test_a_long_error_is_cut(model, ledger, context_of):
    FailureReport("failed-batch")(failed(context_of, Outage("x\n" * 5000)))
    assert len(last_incident(ledger, "failed-batch").opened.told) < 1000


@pytest.mark.parametrize(
    ("states", "resolved"),
    [
        ({"ingest_batch": "success", "score_batch": "skipped", "wait_for_labels": "deferred"}, True),
        ({"ingest_batch": "failed", "validate_batch": "upstream_failed"}, False),
        ({"ingest_batch": "success", "validate_labels": "failed"}, False),
        ({"ingest_batch": "success", "validate_batch": "upstream_failed"}, False),
        ({}, True),
    ],
)
def test_a_run_without_a_failed_task_resolves(states, resolved, model, ledger, deployment, context_of):
    context = context_of()
    report(ledger, "failed-batch", "2024-01-01", "failed")
    context["ti"].states = states
    resolve_failure(model, deployment, "failed-batch", "2024-01-02", context)
    assert (last_incident(ledger, "failed-batch").resolved is not None) is resolved


def test_a_later_run_resolves_only_what_is_not_newer(model, ledger, deployment, context_of):
    report(ledger, "failed-batch", "2024-01-03", "failed")
    resolve_failure(model, deployment, "failed-batch", "2024-01-02", context_of())
    assert last_incident(ledger, "failed-batch").resolved is None


def test_a_run_that_failed_is_not_forgotten_for_a_later_one_that_did_not(model, ledger, deployment, context_of):
    report_failure, yesterday = FailureReport("failed-batch"), Instance(run_id="scheduled__0")
    report_failure(failed(context_of, Outage("down"), instance=yesterday, end=datetime(2024, 1, 2, 7, tzinfo=UTC)))
    for states, over in (({"score_batch": "failed"}, False), ({"score_batch": "success"}, True), ({}, True)):
        today = Instance(others={"scheduled__0": states})
        resolve_failure(model, deployment, "failed-batch", "2024-01-02", context_of(today))
        assert (last_incident(ledger, "failed-batch").resolved is not None) is over


def test_a_slip_in_a_param_is_one_message_and_over_with_the_next_sound_run(model, ledger, deployment, context_of):
    """The form lets no such batch through; whoever triggers by another way may still name one that there is not."""
    ledger.put(BatchRecord(as_of="2024-01-01", feed="rows", revision=0, state="published"))
    slip, given = Instance(run_id="manual__1"), {"end": None, "batch": "2024-02-30"}
    wait = WaitForBatchSensor(task_id="wait_for_batch", model_id="taxi")
    send = SendAlertsOperator(task_id="send_alerts", model_id="taxi", failure="failed-batch")
    score = ValidateBatchOperator(task_id="validate_labels", model_id="taxi", feed="labels")
    for task in (wait, score):
        with pytest.raises(Refused) as refused:
            task.execute(context_of(slip, task=task, **given))
        FailureReport("failed-batch")(failed(context_of, refused.value, task, slip, **given))
    # It tells of it, at once, and is no failure more.
    assert send.execute(context_of(slip, **given)) == {"told": 1, "failed": 0}
    incident = last_incident(ledger, "failed-batch")
    assert (incident.sightings, incident.opened.as_of, incident.lost) == (1, "2024-01-01", ())
    assert "'2024-02-30' is no batch" in incident.opened.told
    send.execute(context_of(Instance(others={"manual__1": {"wait_for_batch": "failed"}})))
    assert last_incident(ledger, "failed-batch").resolved is not None


def test_a_retraining_that_failed_is_mended_by_the_next_run(model, ledger, deployment, context_of):
    report(ledger, "failed-retrain", "2024-01-02", "x")
    task = TrainModelOperator(task_id="train_model", model_id="taxi", attempt=ATTEMPT)
    first = Instance("taxi__retrain", "run-1")
    FailureReport("failed-retrain")(failed(context_of, Outage("down"), task, first))
    second = Instance("taxi__retrain", "run-2", others={"run-1": {"train_model": "failed"}})
    resolve_failure(model, deployment, "failed-retrain", ATTEMPT["as_of"], context_of(second))
    assert last_incident(ledger, "failed-retrain").resolved is not None


def test_labels_that_fail_after_the_rows_were_told_of_are_reported(model, ledger, deployment, context_of):
    report(ledger, "failed-batch", "2024-01-01", "the lake was down")
    resolve_failure(model, deployment, "failed-batch", "2024-01-02", context_of())
    task = ValidateBatchOperator(task_id="validate_labels", model_id="taxi", feed="labels")
    FailureReport("failed-batch")(failed(context_of, Outage("the lake is down again"), task))
    again = last_incident(ledger, "failed-batch")
    assert (again.opened.n, again.opened.as_of, again.resolved) == (1, "2024-01-02", None)
    assert "down again" in again.opened.told


def test_a_task_that_fails_anew_at_its_old_batch_is_reported_anew(model, ledger, deployment, context_of):
    FailureReport("failed-batch")(failed(context_of, Outage("the lake is down")))
    resolve_failure(model, deployment, "failed-batch", "2024-01-02", context_of())
    FailureReport("failed-batch")(failed(context_of, Outage("the lake is down again")))
    again = last_incident(ledger, "failed-batch")
    assert (again.opened.n, again.resolved) == (1, None)
