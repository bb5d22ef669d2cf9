"""What an operator does in Airflow's web UI, in a real browser: retrain with Params, backfill a week, clear a day."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from include.config.locations import Locations
from include.config.model_folder import ModelFolder
from include.judging.attempts import get_verdict
from include.records import AttemptRecord, ClaimRecord, VerdictRecord, WishRecord
from include.storage.stores import open_stores
from tests.live import NIGHTLY, Live, make_model, running, wait_until
from tests.postgres import BIN, postgres
from tests.short_loop import fingerprint, land, run

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium: apt-get install chromium"),
    pytest.mark.skipif(BIN is None, reason="Airflow takes no backfills on SQLite: apt-get install postgresql"),
]
QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
LAST = "2024-01-08"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A model that only a person has retrained, once it has a first version."""
    schedule = {**NIGHTLY, "end": "2024-01-09"}
    return make_model(tmp_path_factory.mktemp("models"), "taxi", retrain={"any": ["never"]}, schedule=schedule)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, model: ModelFolder) -> Iterator[Live]:
    """Eight days are behind us, and the scheduler has caught up with them."""
    home = tmp_path_factory.mktemp("live")
    run(model, Locations.under(home), *range(1, 9))
    with postgres() as url, running(home, model.path.parent, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=url) as services:
        done = "select count(*) from dag_run where dag_id = 'taxi__drift' and state = 'success'"
        wait_until(lambda: services.query(done) == [(8,)], 600, "eight checks to be caught up with")
        yield services


@pytest.fixture
def page(live: Live) -> Iterator[Page]:
    """A browser in which the operator has signed in."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET.split())
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(live.services.airflow_url)
        page.fill('input[name="username"]', "admin")
        page.fill('input[name="password"]', live.services.secrets["admin"])
        page.keyboard.press("Enter")
        page.get_by_text("Dags", exact=True).first.wait_for()
        yield page
        browser.close()


def shoot(page: Page, name: str, folder: Path) -> None:
    """Keep a screenshot where a person can look at it: SCREENSHOTS, or the test's own folder."""
    kept = Path(os.environ.get("SCREENSHOTS", folder))
    page.screenshot(path=kept / f"{name}.png")


def open_form(page: Page, live: Live, dag_id: str) -> Any:
    page.goto(f"{live.services.airflow_url}/dags/{dag_id}")
    page.get_by_role("button", name="Trigger").first.click()
    return page.get_by_role("dialog")


def test_an_operator_retrains_with_params(live: Live, model: ModelFolder, page: Page, tmp_path: Path) -> None:
    form = open_form(page, live, "taxi__retrain")
    form.locator("#element_why").fill("the tariff has changed")
    shoot(page, "retrain-form", tmp_path)
    form.get_by_role("button", name="Trigger", exact=True).click()
    by_hand = "select run_id from dag_run where dag_id = 'taxi__retrain' and run_type = 'manual'"
    (run_id,) = wait_until(lambda: live.query(by_hand), 600, "a manual run")[0]
    wait_until(lambda: live.runs("taxi__retrain")[run_id] in ("success", "failed"), 600, "the run to end")
    page.goto(f"{live.services.airflow_url}/dags/taxi__retrain/runs/{run_id}")
    page.get_by_text("Success", exact=True).first.wait_for()
    shoot(page, "retrain-run", tmp_path)

    stores = open_stores(live.at, model.id)
    wish = stores.ledger.get(WishRecord, run_id)
    assert wish is not None
    assert get_verdict(stores, wish.verdict).reasons == ("asked",)
    assert get_verdict(stores, wish.verdict).meta["asked"] == "admin: the tariff has changed"
    assert stores.ledger.get(AttemptRecord, wish.verdict) is not None
    # A task's details lead to what it made.
    page.goto(f"{live.services.airflow_url}/dags/taxi__retrain/runs/{run_id}/tasks/train_model/details")
    link = page.get_by_role("link", name="MLflow")
    assert (link.get_attribute("href") or "").startswith(f"{live.services.mlflow_url}/#/experiments/")


def test_an_operator_backfills_a_week_beside_the_live_loop(
    live: Live, model: ModelFolder, page: Page, tmp_path: Path
) -> None:
    before, ledger = fingerprint(model, live.at, LAST), open_stores(live.at, model.id).ledger
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
    land(model, live.at, 9)
    runs = "select state from dag_run where dag_id = 'taxi__batch' and run_type = 'backfill'"
    wait_until(lambda: len(live.query(runs)) == 7, 600, "a week of runs")
    wait_until(lambda: {state for (state,) in live.query(runs)} <= {"success", "failed"}, 600, "the week to end")
    # The third day's file is broken; it is rejected again, and that is all.
    assert sorted(state for (state,) in live.query(runs)) == ["failed", *["success"] * 6]
    wait_until(lambda: ledger.get(VerdictRecord, "2024-01-09"), 600, "the live loop to check the ninth day")
    page.goto(f"{live.services.airflow_url}/dags/taxi__batch")
    page.get_by_text("score_batch").first.wait_for()
    page.wait_for_timeout(2000)
    shoot(page, "backfill-grid", tmp_path)
    assert fingerprint(model, live.at, LAST) == before
    scored = ledger.get(ClaimRecord, "2024-01-09")
    assert scored is not None
    assert scored.version is not None


def test_a_second_wish_is_judged_anew(live: Live, model: ModelFolder) -> None:
    """Who asks by hand need not wait for another label: somebody may have changed the code."""
    live.trigger("taxi__retrain", "again", why="just to be sure")
    wait_until(lambda: live.runs("taxi__retrain").get("again") in ("success", "failed"), 600, "the run to end")
    assert live.runs("taxi__retrain")["again"] == "success"
    stores = open_stores(live.at, model.id)
    wish = stores.ledger.get(WishRecord, "again")
    assert wish is not None
    assert get_verdict(stores, wish.verdict).reasons == ("asked",)
    assert live.tasks("taxi__retrain", "again")["ask_retraining"] == ("success", 1)
    assert stores.ledger.get(AttemptRecord, wish.verdict) is not None


def test_ten_days_in_any_order_and_a_cleared_day_move_nothing(live: Live, model: ModelFolder) -> None:
    before = fingerprint(model, live.at, LAST)
    # Airflow takes one backfill of a DAG at a time, and closes the last one a little after its runs have ended.
    open_ones = "select count(*) from backfill where completed_at is null"
    wait_until(lambda: live.query(open_ones) == [(0,)], 600, "the week's backfill to be closed")
    old = "scheduled__2024-01-03T07:00:00+00:00"
    clear = {"dry_run": False, "only_failed": False, "reset_dag_runs": True, "dag_run_id": old}
    for dag_id in ("taxi__batch", "taxi__drift"):
        live.call("POST", f"/dags/{dag_id}/clearTaskInstances", clear)
        # A backfill passes over runs that are not at rest.
        wait_until(lambda dag_id=dag_id: live.runs(dag_id)[old] == "success", 600, f"{dag_id} to run again")
    body: dict[str, Any] = {"dag_id": "taxi__drift", "from_date": "2024-01-01T00:00:00Z", "run_backwards": True}
    body |= {"to_date": "2024-01-11T00:00:00Z", "max_active_runs": 4, "reprocess_behavior": "completed"}
    live.call("POST", "/backfills", body)
    body |= {"dag_id": "taxi__batch", "run_backwards": False}
    live.call("POST", "/backfills", body)
    ended = (
        "select state from dag_run where dag_id = ? and backfill_id in (select max(id) from backfill group by dag_id)"
    )
    for dag_id in ("taxi__drift", "taxi__batch"):
        wait_until(lambda dag_id=dag_id: len(live.query(ended, dag_id)) == 10, 600, f"ten runs of {dag_id}")
        states = lambda dag_id=dag_id: sorted(state for (state,) in live.query(ended, dag_id))  # noqa: E731
        wait_until(lambda states=states: set(states()) <= {"success", "failed"}, 600, f"ten runs of {dag_id} to end")
        # The third day's file is broken; it is rejected again, and that is all.
        assert states() == ["failed"] * (dag_id == "taxi__batch") + ["success"] * (9 + (dag_id == "taxi__drift"))
    assert fingerprint(model, live.at, LAST) == before
    shutil.rmtree(live.services.home / "airflow" / "logs", ignore_errors=True)
