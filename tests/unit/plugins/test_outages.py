"""What many models wait for is one message, which counts and names them; it is over once none waits any more."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_evergreen.alerts import FailureReport, resolve_failure, tell_incidents
from airflow_evergreen.operators.ingest_batch import IngestBatchOperator
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import LandingAbsent, Outage
from evergreen.incidents import acknowledge
from evergreen.sources.landing_location import open_landing_location
from evergreen.storage.stores import open_stores
from tests.fake_slack import fake_slack
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


def test_all_models_have_the_name_of_their_landing_place_in_common(tmp_path):
    places = set()
    for name in NAMES[:2]:
        with pytest.raises(LandingAbsent) as absent:
            list(open_landing_location(tmp_path / "landing" / name).names(None))
        places.add(absent.value.place)
    assert places == {f"landing place {tmp_path / 'landing'}"}
