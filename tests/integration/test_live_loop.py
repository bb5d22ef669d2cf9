"""The demo on a real scheduler: what it decides, what it tells, and that it agrees with the core."""

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from include.config.locations import Locations
from include.config.model_folder import ModelFolder
from include.demo.feeder import feed
from include.demo.stream import DemoStream
from include.judging.attempts import get_verdict
from include.records import AttemptRecord, PromotionRecord, WishRecord
from include.replay.runner import Runner
from include.storage.stores import open_stores
from tests.fake_slack import FakeSlack, fake_slack
from tests.live import NIGHTLY, Live, make_model, running, wait_until
from tests.short_loop import fingerprint

# The demo's plan in six days: each is half a minute of tasks.
STREAM = DemoStream(batches=6, broken=(3,), shifted=(4, 5), changed=0)
LAST = "2024-01-06"


@pytest.fixture(scope="module")
def slack() -> Iterator[FakeSlack]:
    with fake_slack() as server:
        yield server


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    alerts = {"slack": "evergreen_slack", "channel": "#models"}
    # A day is left to wait for.
    schedule = {**NIGHTLY, "end": "2024-01-07"}
    path = tmp_path_factory.mktemp("models")
    return make_model(path, "taxi", short=False, alerts=alerts, schedule=schedule)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, model: ModelFolder, slack: FakeSlack) -> Iterator[Live]:
    settings = {
        "AIRFLOW_CONN_EVERGREEN_SLACK": slack.api,
        # One worker in all: a sensor that kept it while it waits would stop everything.
        "AIRFLOW__CORE__PARALLELISM": "1",
    }
    with running(tmp_path_factory.mktemp("live"), model.path.parent, **settings) as services:
        yield services


@pytest.fixture(scope="module")
def told(live: Live, model: ModelFolder) -> list[str]:
    return list(feed(model, live.at, STREAM))


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory, model: ModelFolder) -> Locations:
    at = Locations.under(tmp_path_factory.mktemp("core"))
    for number in range(1, STREAM.batches + 1):
        STREAM.land(Path(at.landing) / model.id, number)
        Runner(model, at).run_batch(model.config.calendar.name(number - 1))
    return at


def decided(model: ModelFolder, at: Locations) -> dict[str, str]:
    """All that is left but what Slack was told, which the core knows nothing of."""
    found = fingerprint(model, at, LAST)
    return {place: text for place, text in found.items() if "slack-" not in place}


def test_scheduler_and_core_agree(live: Live, model: ModelFolder, told: list[str], in_process: Locations) -> None:
    assert len(told) == STREAM.batches
    by_scheduler, by_core = decided(model, live.at), decided(model, in_process)
    # A promotion, a refusal, a refresh and a fault are among what is compared.
    story = " ".join(told)
    assert "version 2 promoted" in story
    assert "challenger refused" in story
    assert "challenger passed: refresh" in story
    assert "not scored: batch rejected" in story
    assert by_scheduler == by_core
    assert len(by_core) > 90


def test_files_of_the_tables_are_equal_to_the_byte(
    live: Live, model: ModelFolder, told: list[str], in_process: Locations
) -> None:
    """The names of Delta's files are drawn at random; what is in them is not."""

    def contents(at: Locations) -> list[tuple[str, bytes]]:
        root = Path(at.lake) / "tables" / at.env / model.id
        return sorted((path.parent.relative_to(root).as_posix(), path.read_bytes()) for path in root.rglob("*.parquet"))

    data = [(place, content) for place, content in contents(in_process) if "_delta_log" not in place]
    assert len(data) > 20
    assert [one for one in contents(live.at) if "_delta_log" not in one[0]] == data


def test_waiting_takes_no_worker(live: Live, told: list[str]) -> None:
    """With one worker the loop has closed; the sensors of the days to come, and the watch, wait in the triggerer."""
    waiting = {task for (task,) in live.query("select task_id from task_instance where state = 'deferred'")}
    assert waiting == {"wait_for_batch", "wait_for_labels", "wait_for_scores", "wait_for_verdict"}


def test_bad_data_fails_at_its_first_try(live: Live, told: list[str]) -> None:
    """The run for 2024-01-03 begins on the 4th, at two in New York."""
    tasks = live.tasks("taxi__batch", "scheduled__2024-01-04T07:00:00+00:00")
    assert tasks["validate_batch"] == ("failed", 1)
    assert tasks["score_batch"] == ("failed", 1)
    assert tasks["send_alerts"] == ("success", 1)
    assert tasks["validate_labels"] == ("success", 1)
    assert live.runs("taxi__batch")["scheduled__2024-01-04T07:00:00+00:00"] == "failed"
    assert live.runs("taxi__batch")["scheduled__2024-01-05T07:00:00+00:00"] == "success"


def test_one_run_answered_each_attempt(live: Live, model: ModelFolder, told: list[str]) -> None:
    runs, ledger = live.runs("taxi__retrain"), open_stores(live.at, model.id).ledger
    days = [model.config.calendar.name(n) for n in range(STREAM.batches)]
    made = [f"{day}.0" for day in days if ledger.get(AttemptRecord, f"{day}.0") is not None]
    assert len(made) > 5
    assert sorted(runs) == [f"verdict-{one}-run-1" for one in made]
    assert set(runs.values()) == {"success"}


def test_slack_was_told_once_per_cause(live: Live, slack: FakeSlack, told: list[str]) -> None:
    posted = [one for one in slack.messages if one.kind == "post"]
    texts = [json.dumps(one.body) for one in posted]
    assert sum("fault-rows.0 opened" in text for text in texts) == 1
    assert sum("drift.0 opened" in text for text in texts) == 1
    fault = next(one for one in posted if "fault-rows.0 opened" in one.body["text"])
    for said in ("Green taxi trip duration", "2024-01-03", "PULocationID", "805 rows", "mended", "Open in Airflow"):
        assert said in json.dumps(fault.body, ensure_ascii=False)
    # Two days of drift are one message, edited as it goes on and as it is over.
    drift = next(one for one in posted if "drift.0 opened" in one.body["text"])
    edits = [one.body["text"] for one in slack.messages if one.kind == "update" and one.body["ts"] == drift.ts]
    assert [text.split(" drift.0 ")[1].split(",")[0] for text in edits] == ["seen again", "resolved"]


def test_records_say_by_which_task(live: Live, model: ModelFolder, told: list[str]) -> None:
    promotion = open_stores(live.at, model.id).ledger.last(PromotionRecord, "champion")
    assert promotion is not None
    assert f"/dags/taxi__retrain/runs/verdict-{promotion.attempt}-run-1/tasks/promote_model" in promotion.meta["by"]


def test_a_person_retrains_by_hand(live: Live, model: ModelFolder, told: list[str]) -> None:
    """The champion has just learnt all labels that there are: the watch makes the attempt once others have come."""
    stores = open_stores(live.at, model.id)
    serving = stores.ledger.last(PromotionRecord, "champion")
    assert serving is not None
    live.trigger("taxi__retrain", "by-hand", why="a new tariff")
    wait_until(lambda: live.runs("taxi__retrain").get("by-hand") in ("success", "failed"), 600, "the run by hand")
    assert live.runs("taxi__retrain")["by-hand"] == "success"
    wish = stores.ledger.get(WishRecord, "by-hand")
    assert wish is not None
    verdict = get_verdict(stores, wish.verdict)
    assert verdict.reasons == ("asked",)
    assert verdict.meta["asked"] == "admin: a new tariff"
    assert stores.ledger.get(AttemptRecord, verdict.id) is None
    STREAM.land(Path(live.at.landing) / model.id, STREAM.batches + 1)
    attempt = wait_until(lambda: stores.ledger.get(AttemptRecord, verdict.id), 600, "the attempt with later labels")
    assert (attempt.as_of, attempt.against) == ("2024-01-07", serving.number)


def test_nothing_is_left_running(live: Live, told: list[str]) -> None:
    """Last of all: what was started here ends with the services, the workers and what they have forked too."""
    leaders = [psutil.Process(process.pid) for process in live.services.processes.values()]
    family = [*leaders, *(child for leader in leaders for child in leader.children(recursive=True))]
    assert len(family) > 8
    live.services.stop()
    assert [process for process in family if process.is_running()] == []
