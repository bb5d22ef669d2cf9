"""A person acts on the model's page, in a browser: what a form starts is a run of its DAG with what was filled in."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from playwright.sync_api import Page, expect
from sqlalchemy import select

from tests.browser import browsing, needs_browser
from tests.pages_server import listen_with_pages
from tests.unit.small_loop import SmallLoop, day

pytestmark = needs_browser
LEVERS = ("rescore", "reproduce")
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def url_and_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The pages over four sound days, and the levers' DAGs as Airflow's API knows them."""
    loop = SmallLoop.begun(tmp_path_factory.mktemp("acting"), 4, retrain={"any": ["never"]})
    with listen_with_pages(Path(loop.at.lake).parent, loop.model.path.parent, ("small__batch",)) as served:
        for kind in LEVERS:
            sync_bag_to_db(DagBag(ROOT / "dags" / f"{kind}.py"), "dags", None)
        yield served


@pytest.fixture
def page(url_and_token: tuple[str, str]) -> Iterator[Page]:
    url, token = url_and_token
    with browsing() as page:
        page.context.add_cookies([{"name": "_token", "value": token, "url": url}])
        yield page


def fill(page: Page, url: str, kind: str, verb: str, **fields: str) -> str:
    """Fill in a lever's form and send it; returns what it answers."""
    page.goto(f"{url}/evergreen/models/small")
    page.get_by_text(verb).first.click()
    form = page.locator(f"#{kind}")
    for name, value in fields.items():
        field = form.locator(f"[name={name}]")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    form.locator("button").click()
    expect(form.locator("output")).to_contain_text("tarted")
    return form.locator("output").inner_text()


def runs(kind: str) -> list[tuple[str, dict[str, object]]]:
    """State and conf of the runs that the browser's user has started."""
    wanted = select(DagRun).where(DagRun.dag_id == f"small__{kind}", DagRun.triggering_user_name == "admin")
    with create_session() as session:
        return [(str(run.state), dict(run.conf)) for run in session.scalars(wanted.order_by(DagRun.id))]


def test_a_week_is_scored_again_from_its_form(url_and_token: tuple[str, str], page: Page) -> None:
    week = {"first": day(2), "last": day(4), "version": "2", "why": "a late <b>tariff</b>"}
    said = fill(page, url_and_token[0], "rescore", "Score batches again", **week)
    assert said.startswith("Started as run ")
    assert runs("rescore") == [("queued", {**week, "version": 2})]
    # The champion of then is no version.
    fill(page, url_and_token[0], "rescore", "Score batches again", **{**week, "version": ""})
    assert runs("rescore")[1:] == [("queued", {name: week[name] for name in ("first", "last", "why")})]


def test_a_version_is_reproduced_from_its_form(url_and_token: tuple[str, str], page: Page) -> None:
    said = fill(page, url_and_token[0], "reproduce", "Reproduce a version", version="1", why="an audit")
    assert said.startswith("Started as run ")
    assert runs("reproduce") == [("queued", {"version": 1, "why": "an audit"})]


def test_a_slip_is_answered_beside_the_form(url_and_token: tuple[str, str], page: Page) -> None:
    page.goto(f"{url_and_token[0]}/evergreen/models/small")
    page.get_by_text("Score batches again").first.click()
    form = page.locator("#rescore")
    for name, value in {"first": "2024-1-2", "last": day(4), "why": "x"}.items():
        form.locator(f"[name={name}]").fill(value)
    form.locator("button").click()
    assert form.locator("[name=first]").evaluate("field => field.validity.patternMismatch")
    before = runs("rescore")
    form.evaluate("form => form.noValidate = true")
    form.locator("button").click()
    expect(form.locator("output")).to_contain_text("Not started (400)")
    assert runs("rescore") == before


def test_who_may_only_look_sees_no_form_and_is_refused(url_and_token: tuple[str, str], page: Page) -> None:
    url = url_and_token[0]
    login = {"username": "guest", "password": "word"}
    guest = httpx.post(f"{url}/auth/token", json=login, timeout=60).json()["access_token"]
    page.context.clear_cookies()
    page.context.add_cookies([{"name": "_token", "value": guest, "url": url}])
    page.goto(f"{url}/evergreen/models/small")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("#rescore, #reproduce")).to_have_count(0)
    asked = {"json": {"logical_date": None, "conf": {"version": 1, "why": "x"}}, "timeout": 60}
    headers = {"Authorization": f"Bearer {guest}"}
    assert httpx.post(f"{url}/api/v2/dags/small__reproduce/dagRuns", headers=headers, **asked).status_code == 403
    page.goto(f"{url}/evergreen/models/small/trace?batch={day(3)}&key=3007")
    expect(page.get_by_text("but not its rows")).to_be_visible()


def test_a_prediction_is_traced_from_its_form(url_and_token: tuple[str, str], page: Page) -> None:
    page.goto(f"{url_and_token[0]}/evergreen/models/small")
    page.get_by_role("link", name="Trace a prediction").click()
    form = page.locator("form.trace")
    form.locator("[name=batch]").fill(day(3))
    form.locator("[name=key]").fill("3007")
    form.locator("button").click()
    expect(page.get_by_text(f"rows_{day(3)}.csv, row 8")).to_be_visible()
    expect(page.get_by_role("heading", name="Version 2")).to_be_visible()
