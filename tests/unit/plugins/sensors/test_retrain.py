"""The watch hands over what the trigger found, and tells of a retrain DAG that is paused."""

import pytest

from airflow_evergreen.sensors.retrain import RetrainSensor
from airflow_evergreen.triggers.retrain import RetrainTrigger
from evergreen.incidents import last_incident

CONF = {"verdict": "2024-01-14.0", "as_of": "2024-01-18", "run": 1}
RUN = {"trigger_dag_id": "taxi__retrain", "trigger_run_id": "verdict-2024-01-14.0-run-1", "conf": CONF}


@pytest.fixture
def instance(context_of):
    """The context of a watch whose retrain DAGs are paused or not."""

    def make(paused):
        context = context_of(end=None)
        context["ti"].paused = paused
        return context

    return make


def test_it_begins_in_the_triggerer():
    sensor = RetrainSensor(task_id="wait_for_verdict", poke_interval=7)
    arguments = sensor.start_trigger_args
    assert sensor.start_from_trigger
    assert arguments.trigger_cls == RetrainTrigger(1).serialize()[0]
    assert arguments.trigger_kwargs == {"poll": 7}
    assert callable(getattr(sensor, arguments.next_method))
    assert arguments.timeout is None


def test_runs_are_handed_over_as_the_trigger_found_them(model, ledger, instance):
    sensor = RetrainSensor(task_id="wait_for_verdict")
    assert sensor.resume(instance(paused=False), [RUN]) == [RUN]
    assert last_incident(ledger, "paused") is None


def test_a_paused_dag_is_told_of_at_once_and_its_run_is_still_started(model, ledger, instance, caplog):
    assert RetrainSensor(task_id="wait_for_verdict").resume(instance(paused=True), [RUN]) == [RUN]
    incident = last_incident(ledger, "paused")
    assert incident.opened.as_of == "2024-01-18"
    for said in ("taxi__retrain is paused", "verdict 2024-01-14.0", RUN["trigger_run_id"], "Unpause taxi__retrain"):
        assert said in incident.opened.text
    assert "paused.0 opened" in caplog.text


def test_one_model_that_cannot_be_told_of_does_not_stop_the_others(model, ledger, instance):
    gone = {**RUN, "trigger_dag_id": "gone__retrain"}
    assert RetrainSensor(task_id="wait_for_verdict").resume(instance(paused=True), [gone, RUN]) == [gone, RUN]
    assert last_incident(ledger, "paused") is not None
