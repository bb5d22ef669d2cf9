"""The demo on a real scheduler: what it decides and tells, that it agrees with the core, what people do in pages."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from playwright.sync_api import Page

from evergreen import read_predictions
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.demo.feeder import feed
from evergreen.demo.stream import DemoStream
from evergreen.judging.attempts import get_verdict
from evergreen.records import (
    AttemptRecord,
    ClaimRecord,
    PromotionRecord,
    ReproductionRecord,
    RescoreRecord,
    VerdictRecord,
    WishRecord,
)
from evergreen.replay.runner import Runner
from evergreen.storage.stores import open_stores
from tests.browser import browsing, needs_browser, shoot, sign_in
from tests.fake_slack import FakeSlack, fake_slack
from tests.live.services import NIGHTLY, Live, make_model, running, wait_until
from tests.short_loop import fingerprint, records, tables

ROOT = Path(__file__).parent.parent.parent
# The demo's plan in six days: each is half a minute of tasks.
STREAM = DemoStream(batches=6, broken=(3,), shifted=(4, 5), changed=0)
LAST, WEEK = "2024-01-06", "2024-01-07"


@pytest.fixture(scope="module")
def slack() -> Iterator[FakeSlack]:
    with fake_slack() as server:
        yield server


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    alerts = {"slack": "evergreen_slack", "channel": "#models"}
    # Three days are left to wait for.
    schedule = {**NIGHTLY, "end": "2024-01-09"}
    path = tmp_path_factory.mktemp("models")
    return make_model(path, "taxi", short=False, alerts=alerts, schedule=schedule)


@pytest.fixture(scope="module")
def followers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where another team puts its DAG files, and finds what they have exported."""
    return tmp_path_factory.mktemp("followers")


@pytest.fixture(scope="module")
def live(
    tmp_path_factory: pytest.TempPathFactory, model: ModelFolder, slack: FakeSlack, followers: Path
) -> Iterator[Live]:
    local = {"classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"}
    bundles = [
        {"name": "dags-folder", "kwargs": {}, **local},
        {"name": "followers", "kwargs": {"path": str(followers), "refresh_interval": 5}, **local},
    ]
    settings = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW_VAR_EXPORTS": str(followers),
        "AIRFLOW_CONN_EVERGREEN_SLACK": slack.api,
        # Fewer workers than sensors: those that kept one while they wait would stop everything.
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,guest:viewer",
    }
    with running(tmp_path_factory.mktemp("live"), model.path.parent, **settings) as live:
        yield live


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


def past(model: ModelFolder, at: Locations) -> dict[str, str]:
    """All that is left of the first week: rows, predictions, records; the registry goes on with the days after it."""
    return tables(model, at, WEEK) | records(model, at, WEEK)


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
    """With two workers the loop has closed; the sensors of the days to come, and the watch, wait in the triggerer."""
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


def test_runs_say_what_they_came_to(live: Live, told: list[str]) -> None:
    """The scheduler copies into a run's note what the last task has returned."""
    query = "select dag_id, run_id, content from dag_run_note join dag_run on dag_run.id = dag_run_id"
    notes = {(dag_id, run_id): note for dag_id, run_id, note in live.query(query)}
    day = "scheduled__2024-01-04T07:00:00+00:00"
    assert notes["taxi__batch", day].startswith("2024-01-03 (to 2024-01-03 19:00 EST): rejected, PULocationID: no such")
    scored = notes["taxi__batch", "scheduled__2024-01-05T07:00:00+00:00"]
    assert re.fullmatch(r"2024-01-04 \(to .*\): scored by v\d, \d+ rows, \d+ in quarantine", scored)
    assert re.search(r": .*; mae \d", notes["taxi__drift", "scheduled__2024-01-05T07:00:00+00:00"])
    assert " serves from " in notes["taxi__retrain", "verdict-2024-01-02.0-run-1"]


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
    for said in ("Green taxi trip duration", "2024-01-03", "PULocationID", "805 rows", "mended", "Run in Airflow"):
        assert said in json.dumps(fault.body, ensure_ascii=False)
    # Two days of drift are one message, edited as it goes on and as it is over.
    drift = next(one for one in posted if "drift.0 opened" in one.body["text"])
    edits = [one.body["text"] for one in slack.messages if one.kind == "update" and one.body["ts"] == drift.ts]
    assert [text.split(" drift.0 ")[1].split(",")[0] for text in edits] == ["seen again", "resolved"]


def test_records_say_by_which_task(live: Live, model: ModelFolder, told: list[str]) -> None:
    promotion = open_stores(live.at, model.id).ledger.last(PromotionRecord, "champion")
    assert promotion is not None
    assert f"/dags/taxi__retrain/runs/verdict-{promotion.attempt}-run-1/tasks/promote_model" in promotion.meta["by"]


@pytest.fixture(scope="module")
def open_page(live: Live) -> Iterator[Callable[[], Page]]:
    """Opens a page of a browser in which the operator has signed in."""
    with browsing() as page:
        sign_in(page, live.services.airflow_url, "admin", live.services.secrets["admin"])
        signed_in, browser = page.context.storage_state(), page.context.browser
        leave(page)
        assert browser is not None
        yield lambda: browser.new_page(storage_state=signed_in, viewport=page.viewport_size)


@pytest.fixture
def page(open_page: Callable[[], Page]) -> Iterator[Page]:
    page = open_page()
    yield page
    page.close()


def leave(page: Page) -> None:
    """Close Airflow's page until it is looked at again: without a graphics card it takes half a core to draw itself."""
    page.goto("about:blank")


def open_form(page: Page, live: Live, dag_id: str) -> Any:
    page.goto(f"{live.services.airflow_url}/dags/{dag_id}")
    page.get_by_role("button", name="Trigger").first.click()
    return page.get_by_role("dialog")


@needs_browser
def test_an_operator_retrains_with_params(
    live: Live, model: ModelFolder, told: list[str], page: Page, tmp_path: Path
) -> None:
    """The champion has just learnt all labels that there are: the watch makes the attempt once others have come."""
    stores = open_stores(live.at, model.id)
    serving = stores.ledger.last(PromotionRecord, "champion")
    assert serving is not None
    form = open_form(page, live, "taxi__retrain")
    form.locator("#element_why").fill("the tariff has changed")
    shoot(page, "retrain-form", tmp_path)
    form.get_by_role("button", name="Trigger", exact=True).click()
    by_hand = "select run_id from dag_run where dag_id = 'taxi__retrain' and run_type = 'manual'"
    (run_id,) = wait_until(lambda: live.query(by_hand), 600, "a manual run")[0]
    leave(page)
    wait_until(lambda: live.runs("taxi__retrain")[run_id] in ("success", "failed"), 600, "the run to end")
    page.goto(f"{live.services.airflow_url}/dags/taxi__retrain/runs/{run_id}")
    page.get_by_text("Success", exact=True).first.wait_for()
    shoot(page, "retrain-run", tmp_path)
    wish = stores.ledger.get(WishRecord, run_id)
    assert wish is not None
    verdict = get_verdict(stores, wish.verdict)
    assert verdict.reasons == ("asked",)
    assert verdict.meta["asked"] == "admin: the tariff has changed"
    assert stores.ledger.get(AttemptRecord, verdict.id) is None
    # A task's details lead to what it made.
    made = next(one for one in live.runs("taxi__retrain") if one.startswith("verdict-2024-01-02"))
    page.goto(f"{live.services.airflow_url}/dags/taxi__retrain/runs/{made}/tasks/train_model/details")
    link = page.get_by_role("link", name="MLflow")
    assert (link.get_attribute("href") or "").startswith(f"{live.services.mlflow_url}/#/experiments/")
    leave(page)

    STREAM.land(Path(live.at.landing) / model.id, STREAM.batches + 1)
    attempt = wait_until(lambda: stores.ledger.get(AttemptRecord, verdict.id), 600, "the attempt with later labels")
    assert (attempt.as_of, attempt.against) == ("2024-01-07", serving.number)
    # What follows looks at the week as it is once it has come to rest.
    wait_until(lambda: list(live.runs("taxi__drift").values()).count("success") == 7, 600, "the seventh check")
    wait_until(lambda: set(live.runs("taxi__retrain").values()) == {"success"}, 600, "all retrainings to end")


@needs_browser
def test_an_operator_backfills_a_week_beside_the_live_loop(
    live: Live, model: ModelFolder, told: list[str], page: Page, tmp_path: Path
) -> None:
    before, ledger = past(model, live.at), open_stores(live.at, model.id).ledger
    form = open_form(page, live, "taxi__batch")
    form.get_by_text("Backfill", exact=True).first.click()
    for day in ("2024/01/01", "2024/01/08"):
        form.get_by_text("Select date and time").first.click()
        page.get_by_placeholder("YYYY/MM/DD").last.fill(day)
        page.get_by_placeholder("HH:mm").last.fill("00:00")
        page.keyboard.press("Escape")
    form.get_by_text("All Runs", exact=True).click()
    form.get_by_text("Run Backwards").click()
    shoot(page, "backfill-form", tmp_path)
    form.get_by_role("button", name="Run Backfill", exact=True).click()
    STREAM.land(Path(live.at.landing) / model.id, 8)
    runs = "select state from dag_run where dag_id = 'taxi__batch' and run_type = 'backfill'"
    wait_until(lambda: len(live.query(runs)) == 7, 600, "a week of runs")
    leave(page)
    wait_until(lambda: {state for (state,) in live.query(runs)} <= {"success", "failed"}, 600, "the week to end")
    # The third day's file is broken; it is rejected again, and that is all.
    assert sorted(state for (state,) in live.query(runs)) == ["failed", *["success"] * 6]
    wait_until(lambda: ledger.get(VerdictRecord, "2024-01-08"), 600, "the live loop to check the eighth day")
    page.goto(f"{live.services.airflow_url}/dags/taxi__batch")
    page.get_by_text("score_batch").first.wait_for()
    page.wait_for_timeout(2000)
    shoot(page, "backfill-grid", tmp_path)
    assert past(model, live.at) == before
    scored = ledger.get(ClaimRecord, "2024-01-08")
    assert scored is not None
    assert scored.version is not None


@needs_browser
def test_days_in_any_order_and_a_cleared_day_move_nothing(live: Live, model: ModelFolder, told: list[str]) -> None:
    """After the two before it: the seventh and the eighth day have come by them. Of these three one is broken."""
    before = past(model, live.at)
    # Airflow takes one backfill of a DAG at a time, and closes the last one a little after its runs have ended.
    open_ones = "select count(*) from backfill where completed_at is null"
    wait_until(lambda: live.query(open_ones) == [(0,)], 600, "the week's backfill to be closed")
    old = "scheduled__2024-01-03T07:00:00+00:00"
    clear = {"dry_run": False, "only_failed": False, "reset_dag_runs": True, "dag_run_id": old}
    for dag_id in ("taxi__batch", "taxi__drift"):
        live.call("POST", f"/dags/{dag_id}/clearTaskInstances", clear)
        # A backfill passes over runs that are not at rest.
        wait_until(lambda dag_id=dag_id: live.runs(dag_id)[old] == "success", 600, f"{dag_id} to run again")
    body: dict[str, Any] = {"dag_id": "taxi__drift", "from_date": "2024-01-03T00:00:00Z", "run_backwards": True}
    body |= {"to_date": "2024-01-06T00:00:00Z", "max_active_runs": 4, "reprocess_behavior": "completed"}
    live.call("POST", "/backfills", body)
    body |= {"dag_id": "taxi__batch", "run_backwards": False}
    live.call("POST", "/backfills", body)
    ended = (
        "select state from dag_run where dag_id = ? and backfill_id in (select max(id) from backfill group by dag_id)"
    )
    for dag_id in ("taxi__drift", "taxi__batch"):
        wait_until(lambda dag_id=dag_id: len(live.query(ended, dag_id)) == 3, 600, f"three runs of {dag_id}")
        states = lambda dag_id=dag_id: sorted(state for (state,) in live.query(ended, dag_id))  # noqa: E731
        wait_until(lambda states=states: set(states()) <= {"success", "failed"}, 600, f"three runs of {dag_id} to end")
        assert states() == ["failed"] * (dag_id == "taxi__batch") + ["success"] * (2 + (dag_id == "taxi__drift"))
    assert past(model, live.at) == before


def test_it_listens_on_loopback_alone(live: Live, told: list[str]) -> None:
    ours = {process.pid for process in family(live)}
    found = [one for one in psutil.net_connections() if one.pid in ours and one.status == psutil.CONN_LISTEN]
    assert {one.laddr.port for one in found} >= {live.services.api_port, live.services.mlflow_port}
    assert {one.laddr.ip for one in found} == {"127.0.0.1"}


@needs_browser
def test_an_operator_finds_the_model_and_looks_into_a_run(
    live: Live, model: ModelFolder, told: list[str], page: Page, tmp_path: Path
) -> None:
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda line: trouble.append(line.text) if line.type == "error" else None)
    page.goto(live.services.airflow_url)
    page.get_by_role("link", name="Models").click()
    listed = page.frame_locator("iframe[title=Models]")
    listed.get_by_text("Green taxi trip duration").wait_for()
    shoot(page, "models", tmp_path)
    listed.get_by_text("Green taxi trip duration").click()
    listed.locator("#chart .main-svg").first.wait_for()
    shoot(page, "model", tmp_path)

    promotion = open_stores(live.at, model.id).ledger.last(PromotionRecord, "champion")
    assert promotion is not None
    assert listed.locator("#versions tbody tr").count() == promotion.number
    assert f"version {promotion.version}" in listed.locator(".tiles").inner_text()
    # Airflow's frame may open no tab; its page does.
    with page.context.expect_page() as opened:
        listed.locator("#versions tbody a").first.click()
    assert opened.value.url.startswith(f"{live.services.mlflow_url}/#/models/dev.taxi/versions/")
    opened.value.close()
    listed.get_by_role("link", name="Versions side by side").click()
    listed.get_by_text("Code from version").first.wait_for()
    shoot(page, "versions", tmp_path)
    page.goto(f"{live.services.airflow_url}/evergreen/models/taxi/data/2024-01-04")
    assert "drifted" in page.locator(".column", has_text="passenger_count").inner_text()
    shoot(page, "data", tmp_path)
    scored = read_predictions(model.id, "2024-01-05", "2024-01-05", at=live.at).iloc[0]
    page.get_by_role("link", name="Trace a prediction").click()
    page.fill("[name=batch]", "2024-01-05")
    page.fill("[name=key]", str(scored["trip_id"]))
    page.get_by_role("button", name="Trace", exact=True).click()
    page.get_by_text(f"version {scored['model_version']}").first.wait_for()
    shoot(page, "trace", tmp_path)
    page.goto(f"{live.services.airflow_url}/evergreen/views")
    page.get_by_text("Feature views").first.wait_for()
    shoot(page, "views", tmp_path)
    for run, said in (("2024-01-04", "Not scored: batch rejected"), ("2024-01-05", "inputs drifted: passenger_count")):
        run_id = f"scheduled__{run}T07:00:00+00:00"
        page.goto(f"{live.services.airflow_url}/dags/taxi__batch/runs/{run_id}/plugin/evergreen-run")
        outcome = page.frame_locator("iframe[title=Outcome]")
        outcome.get_by_text(said).first.wait_for()
        shoot(page, f"outcome-{run}", tmp_path)
    drawn = outcome.frame_locator("iframe.drift")
    drawn.get_by_text("Drifted Columns").first.wait_for()
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 420, "height": 900})
    drawn_by = {"model": "#chart .main-svg", "versions": "#compared", "data": ".column"}
    for name, path in (("versions", "/versions"), ("data", "/data/2024-01-04"), ("model", "")):
        page.goto(f"{live.services.airflow_url}/evergreen/models/taxi{path}")
        page.locator(drawn_by[name]).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shoot(page, f"{name}-narrow-dark", tmp_path)
    assert trouble == []
    leave(page)


@needs_browser
def test_an_operator_goes_back_a_version_on_the_models_page(
    live: Live, model: ModelFolder, told: list[str], page: Page, tmp_path: Path
) -> None:
    ledger = open_stores(live.at, model.id).ledger
    serving = ledger.last(PromotionRecord, "champion")
    assert serving is not None
    page.goto(f"{live.services.airflow_url}/dags/taxi__batch/plugin/evergreen-model")
    shown = page.frame_locator("iframe[title=Model]")
    shown.get_by_text("Go back to an older version").first.click()
    form = shown.locator("#rollback")
    form.locator("[name=version]").select_option("2")
    form.locator("[name=why]").fill("the tariff was a mistake")
    form.locator("[name=even_if_worse]").check()
    form.locator("button").click()
    form.get_by_text("Started as run").wait_for()
    shoot(page, "rollback", tmp_path)
    leave(page)
    wait_until(lambda: set(live.runs("taxi__rollback").values()) == {"success"}, 300, "the rollback")
    back = ledger.last(PromotionRecord, "champion")
    assert back is not None
    assert (back.number, back.version) == (serving.number + 1, 2)
    attempt = ledger.get(AttemptRecord, back.attempt)
    assert attempt is not None
    assert attempt.why == "rolled back: admin: the tariff was a mistake"
    STREAM.land(Path(live.at.landing) / model.id, 9)
    claim = wait_until(lambda: ledger.get(ClaimRecord, "2024-01-09"), 600, "the next day to be scored")
    assert claim.version == 2


@needs_browser
def test_a_viewer_looks_and_may_not_act(live: Live, told: list[str], page: Page, tmp_path: Path) -> None:
    passwords = json.loads((live.services.home / "passwords.json").read_text())
    page.context.clear_cookies()
    sign_in(page, live.services.airflow_url, "guest", passwords["guest"])
    page.goto(f"{live.services.airflow_url}/dags/taxi__batch/plugin/evergreen-model")
    shown = page.frame_locator("iframe[title=Model]")
    shown.locator("#chart .main-svg").first.wait_for()
    assert shown.locator("form").count() == 0
    shoot(page, "viewer", tmp_path)
    before = live.runs("taxi__rollback")
    asked = f"{live.services.airflow_url}/api/v2/dags/taxi__rollback/dagRuns"
    answer = page.request.post(asked, data={"logical_date": None, "conf": {"version": 1, "why": "I wish"}})
    assert answer.status == 403
    leave(page)
    assert live.runs("taxi__rollback") == before


@needs_browser
def test_an_operator_has_days_scored_again_and_a_version_reproduced(
    live: Live, model: ModelFolder, told: list[str], page: Page, tmp_path: Path, followers: Path
) -> None:
    """A DAG that is scheduled on the predictions is woken by it."""
    shutil.copy(ROOT / "docs" / "examples" / "dags" / "taxi_follow.py", followers)
    waits = "select count(*) from dag_schedule_asset_reference where dag_id = 'taxi_follow_scores'"
    before = past(model, live.at)
    span = ("2024-01-01", LAST)
    then = read_predictions(model.id, *span, at=live.at)
    wait_until(lambda: live.query(waits) == [(1,)], 300, "the other team's DAG")
    page.goto(f"{live.services.airflow_url}/dags/taxi__batch/plugin/evergreen-model")
    shown = page.frame_locator("iframe[title=Model]")
    shown.get_by_text("Score batches again").first.click()
    form = shown.locator("#rescore")
    form.locator("[name=version]").select_option("2")
    for name, value in {"first": span[0], "last": span[1], "why": "a late tariff"}.items():
        form.locator(f"[name={name}]").fill(value)
    form.locator("button").click()
    form.get_by_text("Started as run").wait_for()
    shoot(page, "rescore", tmp_path)
    leave(page)
    live.call(
        "POST", "/dags/taxi__reproduce/dagRuns", {"logical_date": None, "conf": {"version": 2, "why": "an audit"}}
    )
    for dag_id in ("taxi__rescore", "taxi__reproduce"):
        wait_until(lambda dag_id=dag_id: set(live.runs(dag_id).values()) == {"success"}, 300, dag_id)
    now = read_predictions(model.id, *span, at=live.at)
    assert set(now["model_version"]) == {2} < set(then["model_version"])
    # The first day had no champion then, and the third is rejected still.
    assert sorted({*now["batch"]} - {*then["batch"]}) == ["2024-01-01"]
    assert read_predictions(model.id, *span, at=live.at, as_of=LAST).equals(then)
    after = past(model, live.at)
    assert {name: after.get(name) for name in before} == before
    ledger = open_stores(live.at, model.id).ledger
    assert {one.why for one in ledger.all(RescoreRecord, "batches")} == {"admin: a late tariff"}
    assert [one.equal for one in ledger.all(ReproductionRecord, "2")] == [True]
    wait_until(lambda: "success" in live.runs("taxi_follow_scores").values(), 300, "the other team's run")
    exported = {path.stem[-10:]: pd.read_csv(path) for path in followers.glob("predictions_*.csv")}
    versions = {day: set(one["model_version"]) for day, one in exported.items() if len(one)}
    assert versions == {day: {2} for day in now["batch"]}
    query = "select content from dag_run_note join dag_run on dag_run.id = dag_run_id where dag_id = 'taxi__rescore'"
    again = len({one.batch for one in ledger.all(RescoreRecord, "batches")})
    told_so = f"{span[0]} to {LAST}: {again} of 6 batches read as scored again; admin: a late tariff"
    assert live.query(query) == [(told_so,)]


def test_nothing_is_left_running(live: Live, told: list[str]) -> None:
    """Last of all: what was started here ends with the services, the workers and what they have forked too."""
    started = family(live)
    assert len(started) > 8
    live.services.stop()
    assert [process for process in started if process.is_running()] == []


def family(live: Live) -> list[psutil.Process]:
    leaders = [psutil.Process(service.process.pid) for service in live.services.running.values() if service.process]
    return [*leaders, *(child for leader in leaders for child in leader.children(recursive=True))]
