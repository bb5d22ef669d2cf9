"""Pages in a real browser: a name or a value that is written as code runs nothing, and is shown as it is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from evergreen.checks.html import render_drift
from evergreen.incidents import Incident
from evergreen.records import BatchRecord, IncidentRecord, Reason
from evergreen.replay.history import BatchHistory, History
from evergreen.replay.report import write_report
from tests.browser import browsing, needs_browser, shoot

pytestmark = needs_browser
# It ends the script that it stands in, begins one, loads an image that fails, is bold to Plotly, and leads elsewhere.
HOSTILE = (
    "</script><script>window.ran = 1</script><img src=x onerror=alert(1)><b>Höhe</b> &lt; <a href='http://x.y'>[m]"
)
ROWS = 200


@pytest.fixture
def page() -> Iterator[Page]:
    with browsing() as page:
        yield page


def look(page: Page, path: Path) -> list[str]:
    """Open a file; returns what it has asked for, told or done beyond showing itself."""
    seen: list[str] = []
    page.on("dialog", lambda dialog: (seen.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda line: seen.append(f"console {line.text}"))
    page.on("pageerror", lambda error: seen.append(f"error {error}"))
    page.on("request", lambda request: seen.append(request.url) if request.url.startswith(("http", "ws")) else None)
    page.goto(path.as_uri())
    return seen


def plain(text: str) -> str:
    """What a reader sees of a text."""
    return " ".join(text.replace("\u2060", "").split())


def test_evidently_shows_a_hostile_name_and_category_and_runs_nothing(page: Page, tmp_path: Path) -> None:
    kinds = {"reference": ["a", "b"], "current": ["a", HOSTILE, HOSTILE]}
    sides = {side: pd.DataFrame({HOSTILE: np.resize(np.array(values, object), ROWS)}) for side, values in kinds.items()}
    drawn = render_drift(sides["reference"], sides["current"], [HOSTILE], {HOSTILE}, seed=1)
    assert drawn is not None
    (tmp_path / "drift.html").write_text(drawn, encoding="utf-8")
    seen = look(page, tmp_path / "drift.html")
    expect(page.get_by_text("Dataset Drift", exact=True)).to_be_visible()
    # The row's plot is drawn by code that comes with the row.
    page.locator("tbody button").first.click()
    expect(page.locator(".plotly .xtick").first).to_be_visible()
    shoot(page, "drift", tmp_path)
    assert plain(HOSTILE) in plain(page.inner_text("tbody"))
    assert plain(HOSTILE) in plain(" ".join(page.locator(".xtick").all_text_contents()))
    assert page.evaluate("window.ran") is None
    assert seen == []


def test_our_report_shows_hostile_text_and_runs_nothing(page: Page, tmp_path: Path) -> None:
    found = Reason(expectation="known zones", column=HOSTILE, found=HOSTILE, rows=1)
    rows = BatchRecord(as_of="2024-01-01", feed="rows", revision=0, state="rejected", rows_in=1, reasons=(found,))
    batch = BatchHistory("2024-01-01", rows, None, None, None, (), (), (), None, 0)
    incident = Incident(IncidentRecord(as_of="2024-01-01", cause="fault-rows", n=0, text=HOSTILE), None, None)
    write_report(History("taxi", HOSTILE, "mae", (batch,), (incident,), None), tmp_path / "report.html")
    seen = look(page, tmp_path / "report.html")
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    page.locator("#chart .xy3 .trace.bars .point path").first.hover(force=True)
    hover = page.locator("#chart .hovertext").first
    expect(hover).to_be_visible()
    shoot(page, "report", tmp_path)
    assert plain(HOSTILE)[:60] in plain(hover.text_content() or "")
    assert plain(HOSTILE) in plain(page.inner_text("#incidents"))
    assert page.evaluate("window.ran") is None
    assert seen == []


def test_a_page_whose_scripts_were_added_to_runs_only_its_own(page: Page, tmp_path: Path) -> None:
    write_report(History("taxi", "Trips", "mae", (), (), None), tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    (tmp_path / "report.html").write_text(html.replace("</body>", "<script>window.ran = 1</script></body>"))
    seen = look(page, tmp_path / "report.html")
    assert page.evaluate("window.ran") is None
    assert "Content Security Policy" in " ".join(seen)
