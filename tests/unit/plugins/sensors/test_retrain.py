"""The watch hands over what the trigger found, and tells of a retrain DAG that is paused."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_evergreen.sensors.retrain import RetrainSensor
from airflow_evergreen.triggers.retrain import RetrainTrigger
from evergreen.incidents import last_incident, report
from evergreen.replay.digest import is_digest_due
from evergreen.storage.stores import open_stores
from tests.fake_slack import fake_slack
from tests.unit.plugins.hooks.test_slack_sink import texts

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
        assert said in incident.opened.told
    assert "paused.0 opened" in caplog.text


def test_one_model_that_cannot_be_told_of_does_not_stop_the_others(model, ledger, instance):
    gone = {**RUN, "trigger_dag_id": "gone__retrain"}
    assert RetrainSensor(task_id="wait_for_verdict").resume(instance(paused=True), [gone, RUN]) == [gone, RUN]
    assert last_incident(ledger, "paused") is not None


def test_a_broken_folder_is_told_to_the_deployment_until_it_loads(write_folder, edit_config, context_of, monkeypatch):
    """So is its own Slack, once the folder can name it; messages are edited, and nothing is told twice."""
    own = "alerts: {slack: team, channel: '#bikes'}\nfeatures: "
    path = write_folder("bikes", config=edit_config("features: ", own)) / "config.yaml"
    sound = path.read_text()
    sensor = RetrainSensor(task_id="wait_for_verdict")
    with fake_slack() as ops, fake_slack() as team:
        monkeypatch.setenv("AIRFLOW_CONN_OPS", ops.api)
        monkeypatch.setenv("AIRFLOW_CONN_TEAM", team.api)
        monkeypatch.setenv("EVERGREEN_ALERTS_SLACK", "ops")
        monkeypatch.setenv("EVERGREEN_ALERTS_CHANNEL", "#ops")
        path.write_text(f"titel: x\n{sound}")
        ops.error = "ratelimited"
        sensor.resume(context_of(end=None), [])
        ops.error = ""
        for _ in range(2):
            assert sensor.resume(context_of(end=None), []) == []
        assert ["titel: unknown field" in said.body["blocks"][2]["text"]["text"] for said in ops.messages] == [True]
        assert team.messages == []
        path.write_text(sound)
        for _ in range(2):
            sensor.resume(context_of(end=None), [])
        assert [said.kind for said in ops.messages] == ["post", "update"]
        assert "broken.0 resolved" in ops.messages[-1].body["text"]
        assert [said.kind for said in team.messages] == ["post", "update"]


def test_a_folder_that_cannot_be_reported_stops_no_other(model, ledger, instance, deployment, write_folder):
    write_folder("aaa", config="title: [")
    (Path(deployment.lake) / "ledger" / "dev").mkdir(parents=True)
    (Path(deployment.lake) / "ledger" / "dev" / "aaa").write_text("a file")
    write_folder("zzz", config="title: [")
    assert RetrainSensor(task_id="wait_for_verdict").resume(instance(paused=False), [RUN]) == [RUN]
    assert last_incident(open_stores(deployment, "zzz").ledger, "broken") is not None


def test_the_digest_is_one_message_a_day_whoever_watches(model, context_of, monkeypatch, deployment, write_folder):
    """Slack is down at its time; the next look tells it, and no other tells it again."""
    write_folder("broken_one", config="title: [")
    sensor = RetrainSensor(task_id="wait_for_verdict")
    with fake_slack() as slack:
        monkeypatch.setenv("AIRFLOW_CONN_OPS", slack.api)
        monkeypatch.setenv("EVERGREEN_ALERTS_SLACK", "ops")
        monkeypatch.setenv("EVERGREEN_ALERTS_CHANNEL", "#ops")

        def digests():
            return [said for said in slack.messages if "the day's digest" in said.body["text"]]

        sensor.resume(context_of(end=None), [])
        assert digests() == []
        monkeypatch.setenv("EVERGREEN_ALERTS_DIGEST", "00:00")
        assert is_digest_due(deployment, datetime.now(UTC))
        slack.error = "internal_error"
        sensor.resume(context_of(end=None), [])
        slack.error = ""
        assert not is_digest_due(deployment, datetime.now(UTC))
        for _ in range(2):
            sensor.resume(context_of(end=None), [])
        (said,) = digests()
        assert slack.refused[0]["blocks"]
    head, day, text, *_ = texts(said.body)
    assert head == "\N{LARGE BLUE CIRCLE} Evergreen dev: the day's digest"
    assert day == datetime.now(UTC).date().isoformat()
    first, *lines = text.splitlines()
    assert first.startswith("2 models, 1 with something open, on ")
    fine = "• taxi: nobody serves yet, no batch was scored, nothing open"
    assert lines == ["• broken_one: the folder does not load", fine]


def test_what_slack_did_not_take_is_told_within_the_hour(model, ledger, context_of, monkeypatch):
    report(ledger, "drift", "2024-01-01", "drifted")
    with fake_slack() as slack:
        monkeypatch.setenv("AIRFLOW_CONN_OPS", slack.webhook)
        monkeypatch.setenv("EVERGREEN_ALERTS_SLACK", "ops")
        RetrainSensor(task_id="wait_for_verdict").resume(context_of(end=None), [])
        assert ["drift.0 opened" in said.body["text"] for said in slack.messages] == [True]
