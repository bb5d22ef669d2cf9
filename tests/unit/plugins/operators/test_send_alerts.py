"""Each run tells what is left to tell, and closes the incident of a DAG that works again; a backfill is silent."""

import logging
from datetime import datetime

import pytest
from airflow.sdk import DAG

from airflow_evergreen.operators.ask_retraining import AskRetrainingOperator
from airflow_evergreen.operators.send_alerts import SendAlertsOperator
from evergreen.incidents import last_incident, report

ATTEMPT = {"verdict": "2024-01-14.0", "as_of": "2024-01-18", "run": 1}


@pytest.fixture
def operator(model):
    return SendAlertsOperator(task_id="send_alerts", model_id="taxi", failure="failed-batch")


@pytest.fixture(autouse=True)
def heard(caplog):
    """What the log was told."""
    caplog.set_level(logging.WARNING, logger="airflow_evergreen.alerts")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "airflow_evergreen.alerts"]


def test_what_is_left_is_told_once(operator, ledger, context_of, heard):
    report(ledger, "drift", "2024-01-02", "distance has drifted")
    assert operator.execute(context_of()) == {"told": 1, "failed": 0}
    assert operator.execute(context_of()) == {"told": 0, "failed": 0}
    assert heard() == ["drift.0 opened (2024-01-02): distance has drifted"]


def test_a_run_that_works_again_closes_the_incident_and_tells_so(operator, ledger, context_of, heard):
    report(ledger, "failed-batch", "2024-01-01", "task ingest_batch failed")
    assert operator.execute(context_of()) == {"told": 2, "failed": 0}
    assert last_incident(ledger, "failed-batch").resolved.as_of == "2024-01-02"
    assert "failed-batch.0 resolved" in heard()[1]


def test_a_run_with_a_failed_task_tells_of_it_and_closes_nothing(operator, ledger, context_of):
    report(ledger, "failed-batch", "2024-01-02", "task ingest_batch failed")
    context = context_of()
    context["ti"].states = {"ingest_batch": "failed", "score_batch": "failed"}
    assert operator.execute(context) == {"told": 1, "failed": 0}
    assert last_incident(ledger, "failed-batch").resolved is None


def test_a_backfill_tells_nothing_and_leaves_it_to_the_next_live_run(operator, ledger, context_of, heard):
    report(ledger, "drift", "2024-01-02", "distance has drifted")
    assert operator.execute(context_of(run_type="backfill")) == {"told": 0, "failed": 0}
    assert heard() == []
    assert operator.execute(context_of()) == {"told": 1, "failed": 0}


def test_a_retraining_closes_its_incident_at_its_attempts_batch(model, ledger, context_of):
    report(ledger, "failed-retrain", "2024-01-18", "task train_model failed")
    options = {"failure": "failed-retrain", "attempt": ATTEMPT}
    SendAlertsOperator(task_id="send_alerts", model_id="taxi", **options).execute(context_of(end=None))
    assert last_incident(ledger, "failed-retrain").resolved.as_of == "2024-01-18"


def test_without_a_failure_to_close_it_needs_no_batch(model, ledger, context_of):
    report(ledger, "drift", "2024-01-02", "distance has drifted")
    operator = SendAlertsOperator(task_id="send_alerts", model_id="taxi")
    assert operator.execute(context_of(end=None)) == {"told": 1, "failed": 0}


@pytest.fixture
def unbegun(model):
    """The operator in a run whose ask_retraining has failed: Airflow renders what it returned as None."""
    with DAG("taxi__retrain", schedule=None, start_date=datetime(2024, 1, 1)):
        ask = AskRetrainingOperator(task_id="ask_retraining", model_id="taxi")
        task = SendAlertsOperator(task_id="send_alerts", model_id="taxi", failure="failed-retrain", attempt=ask.output)
    task.attempt = None
    return task


def test_a_retraining_that_could_not_begin_is_told_too(unbegun, ledger, context_of):
    report(ledger, "failed-retrain", "2024-01-01", "task ask_retraining failed")
    context = context_of(end=None)
    context["ti"].states = {"ask_retraining": "failed"}
    assert unbegun.execute(context) == {"told": 1, "failed": 0}
    assert last_incident(ledger, "failed-retrain").resolved is None


def test_a_task_that_needs_an_attempt_does_not_take_the_runs_interval_for_it(unbegun, model, context_of):
    assert unbegun.as_of(model, context_of()) == "2024-01-01"


def test_http_that_does_not_answer_fails_no_task(write_folder, edit_config, context_of):
    from evergreen.config.locations import Locations
    from evergreen.storage.stores import open_stores

    write_folder("bikes", config=edit_config("features: ", "alerts: {http: 'http://127.0.0.1:1/'}\nfeatures: "))
    report(open_stores(Locations.from_environment(), "bikes").ledger, "drift", "2024-01-02", "drift")
    operator = SendAlertsOperator(task_id="send_alerts", model_id="bikes", failure="failed-batch")
    assert operator.execute(context_of()) == {"told": 1, "failed": 1}
