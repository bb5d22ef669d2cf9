"""What many models wait for is one message, which counts and names them; it is over once none waits any more."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from airflow_evergreen.alerts import FailureReport, resolve_failure, tell_incidents
from airflow_evergreen.operators.ingest_batch import IngestBatchOperator
from airflow_evergreen.sensors.retrain import RetrainSensor
from evergreen.cli import cli
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import LandingAbsent, Outage
from evergreen.incidents import acknowledge, last_incident, snooze
from evergreen.sources.landing_location import open_landing_location
from evergreen.steps.report_outages import outage_id
from evergreen.steps.wait_for_batch import wait_for_batch
from evergreen.storage.stores import open_stores
from tests.fake_slack import fake_slack
from tests.silent_server import silent_server
from tests.unit.plugins.conftest import Instance
from tests.unit.plugins.hooks.test_slack_sink import buttons, texts

NAMES = [f"model_{n}" for n in range(8)]
PLACE = "MLflow at http://mlflow:5000"


@pytest.fixture
def slack(monkeypatch):
    with fake_slack() as server:
        monkeypatch.setenv("AIRFLOW_CONN_TEAM", server.api)
        monkeypatch.setenv("EVERGREEN_ALERTS_SLACK", "team")
        monkeypatch.setenv("EVERGREEN_ALERTS_CHANNEL", "#models")
        yield server


@pytest.fixture
def models(write_folder):
    return [load_model_folder(write_folder(name)) for name in NAMES]


@pytest.fixture
def fail(context_of):
    def fail_task(name, place=PLACE, failure="failed-batch"):
        error = Outage(f"{place} did not answer: refused", place)
        instance = Instance(f"{name}__batch", f"{name}-run")
        task = IngestBatchOperator(task_id="ingest_batch", model_id=name)
        FailureReport(failure)({**context_of(instance, task=task), "exception": error})

    return fail_task


@pytest.fixture
def mend(context_of, deployment):
    def clear(model):
        context = context_of(Instance(f"{model.id}__batch", f"{model.id}-run", {"ingest_batch": "success"}))
        resolve_failure(model, deployment, "failed-batch", "2024-01-02", context)
        tell_incidents(model, deployment)

    return clear


def test_many_models_at_the_same_moment_are_one_message_that_is_over_with_the_last(
    slack, models, fail, mend, deployment
):
    for name in NAMES:
        fail(name)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda model: tell_incidents(model, deployment), models))
    assert [result["failed"] for result in results] == [0] * len(NAMES)
    (ts,) = slack.shown()
    assert [said.kind for said in slack.messages].count("post") == 1
    head, since, first, newest, done, todo, *_ = texts(slack.shown()[ts])
    assert head == f"\N{LARGE ORANGE CIRCLE} {PLACE}: does not answer"
    assert first.startswith(f"{PLACE} does not answer. First seen: model_")
    assert f"This far it has hit {len(NAMES)}: " in newest
    assert all(name in newest for name in NAMES)
    assert todo == "To do: Bring it back, then clear the failed tasks of these models; nothing is done twice."
    assert (since.endswith("UTC"), done.startswith("Done: ")) == (True, True)
    assert "http://localhost:8080/plugin/evergreen-models" in buttons(slack.shown()[ts]).values()
    *some, last = models
    for model in some:
        mend(model)
    assert "resolved" not in slack.shown()[ts]["text"]
    mend(last)
    mend(last)
    texts_now = texts(slack.shown()[ts])
    assert texts_now[0].endswith("does not answer, over")
    assert texts_now[2].startswith(f"{PLACE} does not answer. First seen: model_")
    assert [said.body["text"].count("resolved") for said in slack.messages].count(1) == 1
    assert slack.refused == []


def test_one_down_again_is_a_message_of_its_own(slack, models, fail, mend, deployment):
    for _ in range(2):
        fail(NAMES[0])
        tell_incidents(models[0], deployment)
        mend(models[0])
    assert len(slack.shown()) == 2


def test_two_places_are_two_messages_and_an_error_of_ones_own_is_told_by_itself(slack, models, fail, deployment):
    fail(NAMES[0])
    fail(NAMES[1], "landing place /mnt")
    fail(NAMES[2], "")
    for model in models[:3]:
        tell_incidents(model, deployment)
    heads = sorted(texts(body)[0][2:] for body in slack.shown().values())
    assert heads == [
        "MLflow at http://mlflow:5000: does not answer",
        "Taxi trips: a batch run failed",
        "landing place /mnt: does not answer",
    ]


def test_an_outage_is_over_when_a_person_says_so_of_its_last_model(slack, models, fail, deployment):
    fail(NAMES[0])
    tell_incidents(models[0], deployment)
    acknowledge(open_stores(deployment, NAMES[0]).ledger, "failed-batch.0", "ada", "retired")
    tell_incidents(models[0], deployment)
    assert "resolved" in slack.messages[-1].body["text"]


def test_it_is_quiet_while_each_of_its_models_is_and_told_again_once_another_is_hit(slack, models, fail, deployment):
    today, later = datetime.now(UTC).date(), "2999-01-01"
    for model in models[:2]:
        fail(model.id)
        tell_incidents(model, deployment)
    told = len(slack.messages)
    for model in models[:2]:
        snooze(open_stores(deployment, model.id).ledger, "failed-batch.0", "ada", "being mended", later, today)
        tell_incidents(model, deployment)
    assert len(slack.messages) == told
    shared = last_incident(open_stores(deployment, outage_id((PLACE, "outage"))).ledger, "outage")
    assert (shared.snoozed.until, shared.snoozed.by) == (later, "ada")
    fail(models[2].id)
    for _ in range(2):
        tell_incidents(models[2], deployment)
    (news,) = [said for said in slack.messages[told:] if said.kind == "post"]
    assert "still open" in news.body["text"]
    assert models[2].id in str(news.body["blocks"])
    assert len(slack.shown()) == 1 + len([said for said in slack.messages if said.kind == "post"]) - 1


def test_who_is_hit_hours_later_is_news(slack, models, fail, deployment, monkeypatch):
    """An edit alone calls nobody."""
    for name in NAMES[:2]:
        fail(name)
        tell_incidents(load_model_folder(models[0].path.parent / name), deployment)
    assert [said.kind for said in slack.messages].count("post") == 1
    monkeypatch.setattr("evergreen.steps.report_outages._APART", timedelta(seconds=-2))
    fail(NAMES[2])
    tell_incidents(models[2], deployment)
    (_, news) = [said for said in slack.messages if said.kind == "post"]
    assert news.body["reply_broadcast"]
    assert NAMES[2] in str(news.body["blocks"])


def test_who_is_mended_and_hit_again_while_another_waits_is_told_of_again(slack, models, fail, mend, deployment):
    for model in models[:2]:
        fail(model.id)
        tell_incidents(model, deployment)
    mend(models[0])
    told = len(slack.messages)
    time.sleep(1.1)
    fail(models[0].id)
    for _ in range(2):
        tell_incidents(models[0], deployment)
    assert len(slack.messages) == told + 1
    assert "seen again" in slack.messages[-1].body["text"]


def test_one_snoozed_of_two_quiets_nothing(slack, models, fail, mend, deployment):
    for model in models[:2]:
        fail(model.id)
        tell_incidents(model, deployment)
    snooze(
        open_stores(deployment, NAMES[0]).ledger, "failed-batch.0", "ada", "x", "2999-01-01", datetime.now(UTC).date()
    )
    for model in models[:2]:
        mend(model)
    assert "resolved" in slack.messages[-1].body["text"]


def test_a_model_whose_folder_is_gone_holds_an_outage_open_until_a_person_says_so(
    slack, models, fail, mend, deployment, context_of, tmp_path
):
    for model in models[:2]:
        fail(model.id)
        tell_incidents(model, deployment)
    shutil.rmtree(models[0].path)
    mend(models[1])
    assert "resolved" not in slack.messages[-1].body["text"]
    unknown = CliRunner().invoke(cli, ["acknowledge", "nobody", "failed-batch.0", "--why", "x"])
    assert "no model folder 'nobody'" in str(unknown.exception)
    said = CliRunner().invoke(cli, ["acknowledge", NAMES[0], "failed-batch.0", "--why", "retired"])
    assert "failed-batch.0 is over" in said.output
    # Airflow alone knows Slack.
    RetrainSensor(task_id="wait_for_verdict").resume(context_of(end=None), [])
    assert "resolved" in slack.messages[-1].body["text"]
    assert len(slack.shown()) == 1


def test_many_folders_that_break_at_once_are_one_message(slack, models, context_of):
    sound = {model.path / "config.yaml": (model.path / "config.yaml").read_text() for model in models}
    for config, text in sound.items():
        config.write_text(f"titel: x\n{text}")
    watch = RetrainSensor(task_id="wait_for_verdict")
    for _ in range(2):
        watch.resume(context_of(end=None), [])
    (shown,) = slack.shown().values()
    assert "several folders are refused at once" in str(shown["blocks"])
    assert all(name in str(shown["blocks"]) for name in NAMES)
    for config, text in sound.items():
        config.write_text(text)
    watch.resume(context_of(end=None), [])
    (shown,) = slack.shown().values()
    assert "resolved" in shown["text"]
    # Two are told each by itself: they may have nothing to do with each other.
    for config, text in list(sound.items())[:2]:
        config.write_text(f"titel: x\n{text}")
    watch.resume(context_of(end=None), [])
    assert len(slack.shown()) == 3


def test_many_whose_files_never_came_are_one_message_from_the_third_on(slack, models, deployment):
    def never_come(batch, some=models):
        for model in some:
            now = datetime.now(UTC)
            (Path(deployment.landing) / model.id).mkdir(parents=True, exist_ok=True)
            assert wait_for_batch(model, deployment, batch, now).state == "missing"
            tell_incidents(model, deployment)

    never_come("2024-01-01")
    first, second, shared = slack.shown().values()
    assert "model_0: rows of batch 2024-01-01 never came" in str(first["blocks"])
    assert "model_1: rows of batch 2024-01-01 never came" in str(second["blocks"])
    assert "Models of dev: the files of several never came." in str(shared["blocks"])
    assert [name in str(shared["blocks"]) for name in NAMES] == [False, False] + [True] * 6
    # The next night they join the one that is open; who was told of before is edited.
    never_come("2024-01-02")
    assert len(slack.shown()) == 3
    for n, model in enumerate(models):
        acknowledge(open_stores(deployment, model.id).ledger, "stale-rows.0", "me", "delivered")
        tell_incidents(model, deployment)
        assert ("resolved" in list(slack.shown().values())[2]["text"]) == (n == len(models) - 1)
    # Two are told each by itself: they may have nothing to do with each other.
    never_come("2024-01-03", models[:2])
    assert len(slack.shown()) == 5


def test_a_slack_that_hangs_is_waited_for_once_a_look_however_many_models_have_something_to_tell(
    models, context_of, monkeypatch
):
    monkeypatch.setattr("airflow_evergreen.hooks.slack_sink._TIMEOUT", 2)
    monkeypatch.setattr("evergreen.sinks._HANGS", 1.0)
    for number, model in enumerate(models):
        text = (model.path / "config.yaml").read_text()
        (model.path / "config.yaml").write_text(f"titel{number}: x\n{text}")
    with silent_server() as port:
        extra = json.dumps({"base_url": f"http://127.0.0.1:{port}/"})
        monkeypatch.setenv(
            "AIRFLOW_CONN_TEAM", json.dumps({"conn_type": "slack", "password": "xoxb-test", "extra": extra})
        )
        monkeypatch.setenv("EVERGREEN_ALERTS_SLACK", "team")
        monkeypatch.setenv("EVERGREEN_ALERTS_CHANNEL", "#models")
        monkeypatch.setattr("evergreen.steps.watch_models.MANY", 100)
        begun = time.monotonic()
        assert RetrainSensor(task_id="wait_for_verdict").resume(context_of(end=None), []) == []
        # Once as they are reported, once as the rest is told.
        assert time.monotonic() - begun < 2 * 2 + 6


def test_all_models_have_the_name_of_their_landing_place_in_common(tmp_path):
    places = set()
    for name in NAMES[:2]:
        with pytest.raises(LandingAbsent) as absent:
            list(open_landing_location(tmp_path / "landing" / name).names(None))
        places.add(absent.value.place)
    assert places == {f"landing place {tmp_path / 'landing'}"}
