import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from evergreen.incidents import Incident
from evergreen.records import (
    AttemptRecord,
    BatchRecord,
    ClaimRecord,
    ClosingRecord,
    FairnessReport,
    GroupReport,
    IncidentRecord,
    Judgement,
    PromotionRecord,
    Reason,
    ResolutionRecord,
    SectionVerdict,
    VerdictRecord,
)
from evergreen.replay.history import BatchHistory, History
from evergreen.replay.report import write_report

DAYS = [f"2024-01-{day:02}" for day in range(1, 7)]
HOSTILE = "<script>alert('x')</script> & more"
OK = SectionVerdict(state="ok", why="as in the reference")


class PageReader(HTMLParser):
    """Collects what a browser would load, the scripts, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data") and value]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.text += f" {data}"


def make_batch(batch: str, error: float | None = None, version: int | None = None, **changes: Any) -> BatchHistory:
    state = changes.pop("state", "published")
    seal = {"feed": "rows", "revision": 0, "state": state, "reasons": changes.pop("reasons", ())}
    rows = BatchRecord(as_of=batch, rows_in=100, clean=95, quarantined=5, **seal)
    seat: dict[str, Any] = {"version": version, "promotion": version, "why": "claimed"}
    claim = ClaimRecord(as_of=batch, revision=0, data="", label_cut=None, **seat)
    parts: dict[str, Any] = {"labels": None, "verdict": make_verdict(batch), "attempts": (), "closings": ()}
    parts |= {"promotions": (), "error": error, "labelled": 90 if error is not None else 0}
    return BatchHistory(batch=batch, rows=rows, claim=claim, **parts | changes)


def make_verdict(batch: str, reasons: tuple[str, ...] = (), **changes: Any) -> VerdictRecord:
    sections: dict[str, Any] = dict.fromkeys(("freshness", "inputs", "predictions", "outcomes"), OK) | changes
    return VerdictRecord(
        as_of=batch, n=0, covers=(batch,), promotion=1, version=1, reasons=reasons,
        action="retrain" if reasons else "none", last_ask=None, previous_ask=None, **sections,
    )  # fmt: skip


def make_attempt(batch: str, outcome: Any, why: str, verdict: str = DAYS[2]) -> AttemptRecord:
    judgement = Judgement(
        against="version 1", metric="mae", rows=200, blocks=2,
        champion=6.0, challenger=4.5, improvement=0.25, lower=0.22, upper=0.28, expected=0.24, worse=0.03,
    )  # fmt: skip
    return AttemptRecord(
        as_of=batch, verdict=f"{verdict}.0", trained_on=(DAYS[0], DAYS[1]), training_rows=190, data="",
        code="", holdout=(DAYS[2], DAYS[3]), against=1, judgement=judgement, outcome=outcome, why=why,
    )  # fmt: skip


@pytest.fixture
def history() -> History:
    """Version 1 scores and decays, an attempt is refused, the next passes, and version 2 takes over from day 6."""
    missing_column = Reason(expectation="declared columns", column="distance", found="no such column", rows=0)
    drift = SectionVerdict(state="warn", why="inputs drifted: distance 2.71 (limit 0.1)")
    decayed = SectionVerdict(state="bad", why="mae 6 on 90 rows", numbers={"error": 5.75})
    refused = make_attempt(DAYS[3], "refused", "expected 0.5%, not above the minimum effect 2.0%", DAYS[1])
    passed = make_attempt(DAYS[4], "passed", "improvement 25.0%, expected 24.0%")
    promotion = PromotionRecord(
        as_of=DAYS[4], number=2, version=2, attempt=passed.id, code="", data="", trained_on=(DAYS[1], DAYS[4]),
        effective_from=DAYS[5], error=4.5,
    )  # fmt: skip
    closing = ClosingRecord(as_of=DAYS[4], verdict=f"{DAYS[2]}.0", outcome="promoted", why="promotion 2, version 2")
    batches = (
        make_batch(DAYS[0], 1.5, 1),
        make_batch(DAYS[1], state="rejected", reasons=(missing_column,)),
        make_batch(DAYS[2], 6.25, 1, verdict=make_verdict(DAYS[2], ("decay",), inputs=drift, outcomes=decayed)),
        make_batch(DAYS[3], 6.5, 1, attempts=(refused,)),
        make_batch(DAYS[4], None, 1, attempts=(passed,), closings=(closing,), promotions=(promotion,)),
        make_batch(DAYS[5], 2.5, 2),
    )
    return History("taxi", "Trips <b>bold</b>", "mae", batches, make_incidents(), 4.19)


def make_incidents() -> tuple[Incident, ...]:
    told = IncidentRecord(as_of=DAYS[3], cause="moved", n=0, text="put back")
    fault = IncidentRecord(as_of=DAYS[1], cause="fault-rows", n=0, text=HOSTILE)
    still = IncidentRecord(as_of=DAYS[2], cause="drift", n=0, text="drifted")
    return (
        Incident(fault, None, ResolutionRecord(as_of=DAYS[2], incident=fault.id, text="sound again")),
        Incident(still, None, None),
        Incident(told, None, ResolutionRecord(as_of=DAYS[3], incident=told.id, text="put back")),
    )


def write(history: History, tmp_path: Path) -> str:
    write_report(history, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def chart_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="chart-data">(.*)</script>', html)
    assert found is not None
    return dict(json.loads(found[1]))


def errors_of(chart: dict[str, Any]) -> list[dict[str, Any]]:
    return [trace for trace in chart["traces"] if "legendgroup" in trace]


def marks_of(chart: dict[str, Any], lane: str) -> list[tuple[str, str]]:
    """Moment and hover text of what stands in a lane of decisions."""
    (events,) = (trace for trace in chart["traces"] if trace.get("yaxis") == "y2")
    marks = zip(events["x"], events["y"], events["hovertext"], strict=True)
    return [(x[:10], text) for x, y, text in marks if chart["lanes"][0][y] == lane]


def test_unscored_batches_are_gaps(history: History, tmp_path: Path) -> None:
    first, second = errors_of(chart_of(write(history, tmp_path)))
    assert first["name"] == "mae, version 1"
    assert first["y"] == [1.5, None, 6.25, 6.5, None]
    assert first["x"] == [f"{day} 00:00:00" for day in DAYS[:5]]
    assert (second["name"], second["y"]) == ("mae, version 2", [2.5])
    assert "connectgaps" not in first


def test_error_by_arrival_is_a_line_of_its_own(history: History, tmp_path: Path) -> None:
    checks = chart_of(write(history, tmp_path))["traces"][0]
    assert checks["y"] == [None, None, 5.75, None, None, None]
    assert "outcomes bad: mae 6 on 90 rows" in checks["hovertext"][2]


def test_a_batch_whose_labels_are_still_coming_is_hollow_and_says_its_share(tmp_path: Path) -> None:
    """Both views stand in one row: its own error on 42.1 % of its labels, and that of the labels that came then."""
    seen = SectionVerdict(state="ok", why="mae 5.75", numbers={"error": 5.75})
    young = make_batch(DAYS[1], 2.5, 1, labelled=40, verdict=make_verdict(DAYS[1], outcomes=seen))
    html = write(History("taxi", "Trips", "mae", (make_batch(DAYS[0], 1.5, 1), young), (), 1.9), tmp_path)

    (errors,) = errors_of(chart_of(html))
    assert errors["marker"]["symbol"] == ["circle", "circle-open"]
    text = " ".join(PageReader(html).text.split())
    assert "1.500 94.7%" in text
    assert "2.500 42.1% 5.750" in text


def test_promotion_stands_where_it_takes_effect_with_its_reason(history: History, tmp_path: Path) -> None:
    html = write(history, tmp_path)
    ((at, text),) = marks_of(chart_of(html), "promoted")

    assert chart_of(html)["promotions"] == [[f"{DAYS[5]} 00:00:00", "v2"]]
    assert at == DAYS[5]
    assert "asked for: decay" in text
    assert "against version 1: mae 6 to 4.5 on 200 rows" in text
    assert "improvement 25.0%, expected 24.0%" in PageReader(html).text


def test_sensitive_groups_stand_in_a_table_of_their_own(history: History, tmp_path: Path) -> None:
    assert "Fairness" not in PageReader(write(history, tmp_path)).text
    west = GroupReport(value=HOSTILE, rows=1200, champion={"mae": 2.5}, challenger={"mae": 2.25, "mean_residual": -0.5})
    fair = FairnessReport(
        column="region", groups=(west,), champion_gap={"mae": 0.75}, challenger_gap={"mae": 0.125}, left_out_groups=3,
        left_out_rows=41,
    )  # fmt: skip
    attempt = make_attempt(DAYS[4], "passed", "improvement 25.0%, expected 24.0%")
    assert attempt.judgement is not None
    judgement = attempt.judgement.model_copy(update={"fairness": (fair,)})
    attempt = attempt.model_copy(update={"judgement": judgement})
    batches = (make_batch(DAYS[4], None, 1, attempts=(attempt,)), make_batch(DAYS[5], 2.5, 2))
    html = write(History("taxi", "Trips", "mae", batches, (), 2.5), tmp_path)
    text = " ".join(PageReader(html).text.split())
    assert f"{HOSTILE} 1,200 mae 2.500 mae 2.250, mean_residual -0.5000" in text
    assert "largest gap (3 small groups left out) 41 mae 0.7500 mae 0.1250" in text
    assert HOSTILE not in html
    ((_, told),) = marks_of(chart_of(html), "attempt")
    told = told.replace("<br>", " ")
    assert "improvement 25.0% (22.0% to 28.0%), expected 24.0%" in told
    assert "worse with a probability of 3%" in told


def test_decisions_stand_in_their_lanes(history: History, tmp_path: Path) -> None:
    chart = chart_of(write(history, tmp_path))
    ((asked_at, asked),) = marks_of(chart, "asks to retrain")
    (refused_at, refused), (passed_at, _) = marks_of(chart, "attempt")

    assert (asked_at, refused_at, passed_at) == (DAYS[2], DAYS[3], DAYS[4])
    assert "asks to retrain: decay" in asked
    assert "promoted at 2024-01-05: promotion 2, version 2" in asked
    assert "not above the minimum effect 2.0%" in refused
    assert [(at, "distance 2.71" in text) for at, text in marks_of(chart, "input drift")] == [(DAYS[2], True)]
    assert [(at, "no such column" in text) for at, text in marks_of(chart, "fault")] == [(DAYS[1], True)]
    assert chart["bands"] == [["2024-01-01 12:00:00", "2024-01-02 12:00:00"]]


def test_drift_is_told_as_multiples_of_limits(tmp_path: Path) -> None:
    def judge(distance: float, **said: Any) -> dict[str, Any]:
        return {"distance": distance, "threshold": 0.2, "drifted": distance > 0.2} | said

    followed = judge(0.9, follows="hour", drifted=False)
    alone = {"columns": {"x": judge(0.5), "y": judge(0.1), "hour": followed}, "drifted": ["x"]}
    together = {"columns": {"x": judge(0.1)}, "drifted": ["x"], "recent": {"columns": {"x": judge(0.3)}, "rows": 300}}
    calm = {"columns": {"x": judge(0.1)}, "drifted": []}
    batches = tuple(
        make_batch(day, verdict=make_verdict(day, inputs=OK.model_copy(update={"numbers": numbers})))
        for day, numbers in zip(DAYS, (alone, together, calm, {}), strict=False)
    )
    chart = chart_of(write(History("taxi", "Trips", "mae", batches, (), None), tmp_path))
    (drift,) = (trace for trace in chart["traces"] if trace.get("yaxis") == "y4")
    assert [at[:10] for at in drift["x"]] == DAYS[:3]
    assert drift["y"] == pytest.approx([2.5, 1.5, 0.5])
    first, second, third = drift["marker"]["color"]
    assert first == second != third
    assert "x: 2.5 times its limit" in drift["hovertext"][0]


def test_rows_in_quarantine_stand_upon_the_clean_ones(history: History, tmp_path: Path) -> None:
    clean, apart = (trace for trace in chart_of(write(history, tmp_path))["traces"] if trace.get("yaxis") == "y5")
    assert clean["y"] == apart["base"] == [95] * 6
    assert apart["y"] == [5] * 6
    assert "95 rows clean, 5 in quarantine" in apart["hovertext"][0]


def test_incidents_are_bars_to_their_end_and_dots(history: History, tmp_path: Path) -> None:
    chart = chart_of(write(history, tmp_path))
    bars, dots = (trace for trace in chart["traces"] if trace.get("yaxis") == "y3")
    day = 24 * 3600 * 1000

    assert chart["lanes"][1] == ["drift", "fault-rows", "moved"]
    assert bars["y"] == [1, 0, 2]
    assert bars["x"] == [day, 4 * day, 0]
    assert dots["y"] == [None, None, 2]
    assert "still open" in bars["hovertext"][1]


def test_hostile_text_is_escaped(history: History, tmp_path: Path) -> None:
    html = write(history, tmp_path)
    page = PageReader(html)

    assert "<script>alert" not in html
    assert "<b>bold" not in html
    assert HOSTILE in page.text
    # The chart as data, the library that draws it, and the script that calls it.
    assert len(page.scripts) == 3
    (bars, _) = (trace for trace in chart_of(html)["traces"] if trace.get("yaxis") == "y3")
    assert "<\u2060script>alert(" in bars["hovertext"][0]


def test_nothing_is_loaded_from_elsewhere(history: History, tmp_path: Path) -> None:
    html = write(history, tmp_path)

    assert PageReader(html).loads == ["data:,"]
    assert "default-src 'none'" in html
    assert not re.search(r"@import|url\(", html[: html.index("</style>")])
    assert len(html) < 6_000_000


def test_numbers_and_tables(history: History, tmp_path: Path) -> None:
    text = " ".join(PageReader(write(history, tmp_path)).text.split())

    assert "6 Batches 5 scored 600 Rows in 570 Rows clean 30 Quarantined 5.0% of rows in" in text
    assert "1 Verdicts that asked 1 Attempts passed 1 Attempts refused 1 Promotions 4.190 Overall mae" in text
    assert "rows rejected; distance: declared columns: no such column" in text


def test_empty_history(tmp_path: Path) -> None:
    html = write(History("taxi", "Trips", "mae", (), (), None), tmp_path)

    assert "No batch of this span has been sealed yet." in html
    assert PageReader(html).scripts == []


def test_no_batch_scored(tmp_path: Path) -> None:
    batches = tuple(make_batch(day, verdict=None) for day in DAYS[:1])
    chart = chart_of(write(History("taxi", "Trips", "mae", batches, (), None), tmp_path))

    assert errors_of(chart) == []
    assert chart["lanes"][1] == ["none"]


def test_hours_and_many_versions(tmp_path: Path) -> None:
    hours = [f"2024-01-01T{hour:02}" for hour in range(12)]
    batches = tuple(make_batch(hour, 1.0, number) for number, hour in enumerate(hours, 1))
    chart = chart_of(write(History("taxi", "Trips", "mae", batches, (), 1.0), tmp_path))

    assert chart["span"] == ["2023-12-31 23:00:00", "2024-01-01 12:00:00"]
    assert [trace["x"] for trace in errors_of(chart)][5] == ["2024-01-01 05:00:00"]
    assert sum(trace["showlegend"] for trace in errors_of(chart)) == 1
