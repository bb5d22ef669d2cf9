"""The pages inside Airflow's own API server: what they tell, who may see it, and that foreign text stays text."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from fastapi.routing import APIRoute
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from airflow_evergreen.pages.app import app as pages
from airflow_evergreen.pages.metrics import HELP
from evergreen.features.view_values import advance_view, view_stores
from evergreen.incidents import report
from evergreen.records import ViewRecord
from evergreen.replay.outcome import tell_attempt, tell_batch, tell_check
from evergreen.replay.runner import Runner
from evergreen.steps.judge_arms import begin_arms
from evergreen.steps.rescore_batches import rescore_batches
from evergreen.storage import ledger as ledger_module
from evergreen.storage import version_evidence
from evergreen.storage.stores import open_stores
from tests.monitoring_files import named_metrics
from tests.pages_server import Get, serve_pages
from tests.unit.small_loop import CONFIG, ESTIMATOR, FEATURES, SmallLoop, day, doubled, make_rows

TITLE = "Small <script>alert(1)</script> & rate [/min]"
FORMULA = '=HYPERLINK("http://x")'
LEVERS = ("retrain", "rollback", "reingest", "rescore", "reproduce", "arms", "forget", "acknowledge")
DAGS = (
    *(f"small__{kind}" for kind in ("batch", "drift", *LEVERS)),
    "secret__batch",
    "torn__broken",
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallLoop:
    """Four sound days and one whose file lacks a column, of a model whose title is hostile."""
    loop = SmallLoop.under(
        tmp_path_factory.mktemp("pages"),
        title=TITLE,
        owner="team-rides",
        limitations="Not for <b>prices</b>.",
        serving={"shadow": True},
    )
    loop.run(doubled, 1, 2, 3)
    begin_arms(loop.model, loop.at, 1, "ada: <b>as good</b>")
    loop.land(4, doubled)
    landed = Path(loop.at.landing) / "small" / f"rows_{day(4)}.csv"
    make_rows(4, doubled).assign(x=[FORMULA, *["0.5"] * 39]).to_csv(landed, index=False)
    Runner(loop.model, loop.at, sinks=()).run_batch(day(4))
    loop.land(5, doubled)
    make_rows(5, doubled).drop(columns="x").to_csv(landed.with_name(f"rows_{day(5)}.csv"), index=False)
    Runner(loop.model, loop.at, sinks=()).run_batch(day(5))
    rescore_batches(loop.model, loop.at, day(3), day(3), 1, "ada: <b>late</b>", "again")
    return loop


@pytest.fixture(scope="module")
def get(small: SmallLoop) -> Iterator[Get]:
    """Ask for a page: over that model, one that has no batch yet, and one whose folder is broken."""
    models = small.model.path.parent
    for name, config in (("secret", CONFIG), ("torn", "title: [")):
        (models / name).mkdir()
        (models / name / "config.yaml").write_text(config)
        (models / name / "features.py").write_text(FEATURES)
        (models / name / "estimator.py").write_text(ESTIMATOR)
    days = (("small__batch", day(3)), ("small__batch", day(4)), ("small__batch", day(5)), ("secret__batch", day(1)))
    runs = [(dag_id, f"of_{batch}", {"batch": batch}) for dag_id, batch in days]
    runs += [("small__retrain", "answers", {"verdict": f"{day(2)}.0"}), ("small__rescore", "again", {"first": day(3)})]
    with serve_pages(Path(small.at.lake).parent, models, DAGS, runs) as get:
        yield get


def text_of(answer: httpx.Response) -> str:
    """What a reader sees, in one line."""
    main = answer.text[answer.text.index("<main>") : answer.text.index("</main>")]
    return " ".join(re.sub(r"<script.*?</script>|<[^>]*>", " ", main, flags=re.DOTALL).split())


def test_what_needs_a_person_comes_first(get: Get) -> None:
    page = get("/models")
    assert page.status_code == 200
    assert re.findall(r'id="model-(\w+)"', page.text) == ["torn", "small", "secret"]
    told = text_of(page)
    assert "torn cannot be read" in told
    assert "not scored: rejected inputs drifted rows failed validation version 2 since 2024-01-03" in told
    assert "batch rejected" in told
    assert re.search(r"mae 0\.\d+ ", told)
    assert "41 20.5% of 200 rows" in told


def test_guests_see_what_they_may_read_in_airflow(get: Get) -> None:
    assert re.findall(r'id="model-(\w+)"', get("/models", "guest").text) == ["small"]
    assert get("/models/small", "guest").status_code == 200
    # A model that is not theirs and one that does not exist are answered alike.
    hidden, absent = get("/models/secret", "guest"), get("/models/absent", "guest")
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert text_of(hidden).replace("secret", "absent") == text_of(absent)
    assert get("/dags/secret__batch", "guest").status_code == 404
    assert get(f"/dags/secret__batch/runs/of_{day(1)}", "guest").status_code == 404
    assert get(f"/dags/small__batch/runs/of_{day(4)}", "guest").status_code == 200
    # Rows are for whoever may read logs, which quote them.
    assert get(f"/models/small/quarantine/rows/{day(4)}", "guest").status_code == 403


def test_nobody_sees_anything_without_a_login(get: Get) -> None:
    paths = [route.path for route in pages.routes if isinstance(route, APIRoute)]
    assert len(paths) >= 7
    values = {"model": "small", "dag_id": "small__batch", "run_id:path": "x", "batch": day(4), "feed": "rows"}
    values["version"] = "2"
    for path in paths:
        named = re.sub(r"{([\w:]+)}", lambda match: values.get(match[1], "pages.css"), path)
        assert get(named, None).status_code == 401, path


def test_every_answer_lets_the_browser_run_only_what_the_pages_bring(get: Get) -> None:
    for path in ("/models", "/models/small", "/models/absent", "/static/chart.js", "/nothing"):
        policy = get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'self'" in policy
    assert [get(path).status_code for path in ("/openapi.json", "/docs", "/redoc")] == [404, 404, 404]


def test_a_models_page_tells_who_serves_and_why(get: Get, small: SmallLoop) -> None:
    page = get("/models/small")
    told = text_of(page)
    newest = small.promotions[-1]
    assert f"version {newest.version} Champion since {newest.effective_from}" in told
    assert "not scored" in told
    assert "Owner: team-rides<br>Limitations: Not for &lt;b&gt;prices&lt;/b&gt;." in page.text
    assert f"Rows failed validation fault-rows.0 since {day(5)}, seen once" in told
    assert "x: declared columns: no such column" in told
    assert len(re.findall(r"<tr><td class=\"batch\">\d+</td>", page.text)) == len(small.promotions)
    chart = json.loads(re.findall(r'id="chart-data">(.*?)</script>', page.text)[0])
    assert chart["metric"] == "mae"
    assert [at[:10] for at in chart["traces"][0]["x"]] == [day(number) for number in range(1, 6)]
    assert get("/dags/small__drift").text == page.text


def test_versions_stand_side_by_side(get: Get, small: SmallLoop) -> None:
    page = get("/models/small/versions?version=1&version=2")
    facts = {
        name: [" ".join(re.sub("<[^>]*>", "", cell).split()) for cell in re.findall("<td.*?</td>", row)]
        for name, row in re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', page.text)
    }
    first, second = small.promotions[:2]
    assert facts["Serves from"] == [first.effective_from, second.effective_from]
    assert facts["Came as"] == ["the baseline, a constant", "a new recipe"]
    assert facts["mae on its holdout"][1] == f"{second.error:.4g}"
    assert facts["Learnt from labels of"] == [" to ".join(dict.fromkeys(one.trained_on)) for one in (first, second)]
    assert facts["seed"] == ["7", "7"]
    assert facts["scikit-learn"] == [version("scikit-learn")] * 2
    assert "Code from version 1 to 2" in text_of(page)
    # Without a choice the champion stands beside what it replaced.
    assert f"Version {small.promotions[-1].version} champion" in text_of(get("/models/small/versions"))
    assert "No version was promoted yet" in text_of(get("/models/secret/versions"))


def test_files_that_are_not_those_on_record_are_not_shown(get: Get, small: SmallLoop) -> None:
    """Neither as a version's code nor as a reference."""
    altered = [
        path for path in Path(small.at.lake).parent.glob("mlflow/**/packed/*") if path.suffix in (".py", ".json")
    ]
    kept = {path: path.read_bytes() for path in altered}
    version_evidence._read_file.cache_clear()
    try:
        for path, content in kept.items():
            path.write_bytes(content + b" ")
        told = text_of(get("/models/small/versions?version=2"))
        assert "Version 2 cannot be told in full model small, version 2: its spec.json in MLflow is not the one" in told
        told = text_of(get(f"/models/small/data/{day(4)}"))
        assert "its reference.json in MLflow is not the one that the ledger has on record" in told
        assert "x float" in told
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
        version_evidence._read_file.cache_clear()


def test_a_batchs_data_stand_beside_the_reference(get: Get, small: SmallLoop) -> None:
    page = get(f"/models/small/data/{day(4)}")
    told = text_of(page)
    assert "40 Rows came published 39 Clean 97.5% of them 1 Quarantined" in told
    reference = small.verdicts[-2].version
    assert f"version {reference} Held against" in told
    column = told[told.index("x float") : told.index("prediction float")]
    assert "missing 0.0% 0.0% smallest 0.5 0 median 0.5 0.5 largest 0.5 1 distance 0.8661" in column
    assert "x float drifted" in told
    assert page.text.count("<polyline") == 2
    assert "y label, float" in told
    # What was rejected as a whole has no clean row; what is not sealed has nothing.
    assert "No clean row of it is kept" in text_of(get("/models/small/data"))
    assert "Nothing of this batch is sealed yet" in text_of(get("/models/secret/data"))
    assert get("/models/small/data", "guest").status_code == 403


def test_who_answers_online_is_told(get: Get) -> None:
    assert "Online who answers beside the champion" in text_of(get("/models/small"))
    assert "online: the challenger version 1 answers unseen: " in text_of(get("/models/small"))


def test_who_may_not_act_sees_no_form_and_is_refused(get: Get) -> None:
    for kind in LEVERS:
        assert f'id="{kind}"' in get("/models/small").text
        assert f'id="{kind}"' not in get("/models/small", "guest").text
    assert "each starts a DAG" not in text_of(get("/models/small", "guest"))
    answer = get("/api/v2/dags/small__retrain/dagRuns", "guest", conf={"why": "I wish"})
    assert answer.status_code == 403


def test_foreign_text_stays_text(get: Get) -> None:
    for path in ("/models", "/models/small", f"/dags/small__batch/runs/of_{day(4)}"):
        page = get(path).text
        assert "Small &lt;script&gt;alert(1)&lt;/script&gt; &amp; rate [/min]" in page
        assert "<script>alert" not in page


def test_views_are_told_to_whom_may_read_their_source(get: Get, small: SmallLoop) -> None:
    assert "No view was computed yet" in text_of(get("/views"))
    body = "return rows.groupby('id', as_index=False).agg(at=('at', 'max'), mean_x=('x', 'mean'))"
    for source in ("small", "secret"):
        view = ViewRecord(
            as_of=day(1), view=f"of_{source}", version=1, source=source, every="day",
            start=datetime(2024, 1, 1, tzinfo=UTC), lookback=0, key=("id",), event_time="at",
            needed={"id": "integer", "at": "timestamp", "x": "float"},
            columns={"mean_x": "float"}, ttl=timedelta(days=2), time_limit=timedelta(hours=1),
            code=f"def build_view(rows):\n    {body}",
        )  # fmt: skip
        if source == "small":
            advance_view(view, small.stores, 2)
        else:
            view_stores(small.stores).ledger.put(view)
    told = text_of(get("/views"))
    assert f"of_small version 1 mean_x by id, from small computed for nobody any more nobody {day(3)} 40 values" in told
    assert f"{day(3)} 12:00 UTC used for 2 days up to no batch" in told
    assert "of_secret" in told
    assert "of_small" in text_of(get("/views", "guest"))
    assert "of_secret" not in get("/views", "guest").text


def test_a_runs_page_tells_what_became_of_its_batch(get: Get) -> None:
    told = text_of(get(f"/dags/small__batch/runs/of_{day(5)}"))
    assert "rejected : 40 rows came, 0 are clean, 40 in quarantine" in told
    assert "declared columns x 0 no such column" in told
    assert "Not scored: batch rejected" in told
    assert f"Once the source is mended, take it in again : evergreen reingest small {day(5)}" in told
    told = text_of(get(f"/dags/small__batch/runs/of_{day(4)}"))
    assert "published : 40 rows came, 39 are clean, 1 in quarantine" in told
    assert "reads as float x 1" in told


def test_a_runs_page_tells_who_had_its_batch_scored_again(get: Get) -> None:
    told = text_of(get(f"/dags/small__batch/runs/of_{day(3)}"))
    assert "By version 2, promotion 2" in told
    assert f"Scored again by version 1 at batch {day(6)}, as revision 2: ada: &lt;b&gt;late&lt;/b&gt;" in told
    told = text_of(get("/dags/small__rescore/runs/again"))
    assert f"Batch {day(3)} was scored again by version 1, as revision 2: ada: " in told


def test_a_retrainings_page_tells_the_judgement(get: Get, small: SmallLoop) -> None:
    attempt = small.attempt(2)
    told = text_of(get("/dags/small__retrain/runs/answers"))
    assert f"Retraining Verdict {day(2)}.0, answered at batch {attempt.as_of} {attempt.outcome} : {attempt.why}" in told
    assert attempt.judgement is not None
    assert f"all rows of the holdout {attempt.judgement.rows}" in told
    assert "Closed at" in told


def test_a_run_is_told_in_a_sentence(get: Get, small: SmallLoop) -> None:
    model, stores = small.model, small.stores
    assert tell_batch(model, stores, day(1)) == f"{day(1)}: not scored, no champion yet"
    assert tell_batch(model, stores, day(4)) == f"{day(4)}: scored by v2, 39 rows, 1 in quarantine"
    assert tell_batch(model, stores, day(5)) == f"{day(5)}: rejected, x: no such column"
    assert (
        tell_batch(model, stores, day(6)) == tell_check(model, stores, day(6)) == tell_attempt(stores, "none.0") == ""
    )
    error = small.verdicts[2].outcomes.numbers["error"]
    assert tell_check(model, stores, day(3)) == f"{day(3)}: nothing warns; mae {error:.4g}; asks to retrain (due)"
    assert "inputs warn; predictions warn; drifted: x; mae" in tell_check(model, stores, day(4))
    won = small.promotions[1]
    assert tell_attempt(stores, won.attempt).startswith(f"verdict {won.attempt}: v2 serves from {day(3)}; improvement")
    refused = small.attempt(3)
    assert tell_attempt(stores, refused.id) == f"verdict {refused.id}: {refused.outcome}; {refused.why}"
    # Where the schedule keeps New York's time, a run is for what had ended by it.
    kept = small.using(
        schedule={"every": "day", "start": "2024-01-01", "cron": "0 2 * * *", "timezone": "America/New_York"}
    )
    assert tell_batch(kept.model, stores, day(5)).startswith(f"{day(5)} (to {day(5)} 19:00 EST): rejected")


def test_rows_in_quarantine_can_be_fetched_and_run_nowhere(get: Get) -> None:
    rows = get(f"/models/small/quarantine/rows/{day(4)}")
    assert rows.headers["content-disposition"] == f'attachment; filename="small-rows-{day(4)}-quarantine.csv"'
    header, row = rows.text.splitlines()
    assert header == "file,row,expectation,column,reason,content"
    assert row.startswith(f"rows_{day(4)}.csv,1,reads as float,x,")
    assert ",=" not in rows.text


def test_prometheus_reads_the_state_of_the_models_that_it_may_read(get: Get, small: SmallLoop) -> None:
    told = get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(told.text)}
    # No version has served long enough to have first labels.
    assert HELP.keys() - families.keys() == {"evergreen_error_at_first"}
    assert named_metrics() - families.keys() <= {"evergreen_error_at_first"}
    values = {
        (s.name, s.labels["model"], s.labels.get("cause", "")): s.value for f in families.values() for s in f.samples
    }
    assert values["evergreen_readable", "torn", ""] == 0
    assert values["evergreen_readable", "secret", ""] == 1
    assert values["evergreen_champion_version", "small", ""] == small.promotions[-1].version
    assert values["evergreen_batch_scored", "small", ""] == 0
    assert values["evergreen_batch_seconds", "small", ""] == 86_400
    assert values["evergreen_batch_end_timestamp_seconds", "small", ""] == datetime(2024, 1, 6, tzinfo=UTC).timestamp()
    assert values["evergreen_recent_rows_quarantined", "small", ""] == 41
    assert values["evergreen_open_incidents", "small", "fault-rows"] == 1
    assert values["evergreen_open_incidents", "small", "decay"] == 0
    assert values["evergreen_inputs_drifted", "small", ""] == 0
    assert "secret" not in get("/metrics", "guest").text


@pytest.mark.parametrize("batch", ["2024-13-01", "..%2F..%2Fx", "2024-01-01T05"])
def test_a_batch_that_is_none_is_told(get: Get, batch: str) -> None:
    page = get(f"/models/small?last={batch}")
    assert page.status_code == 422
    assert "is no batch; a day is named such as 2024-01-01" in text_of(page)


def test_a_damaged_record_is_told_and_harms_no_other_model(get: Get, small: SmallLoop) -> None:
    report(small.stores.ledger, "drift", day(5), "told by a test")
    (record,) = (Path(small.at.lake) / "ledger" / "dev" / "small" / "incident" / "drift").glob("*.json")
    sound = record.read_text()
    record.write_text(sound[:20])
    ledger_module._KEPT.clear()
    try:
        told = text_of(get("/models"))
        assert "cannot be read record" in told
        assert "drift/0.json is damaged" in told
        assert get("/models/secret").status_code == 200
    finally:
        record.write_text(sound)


def test_what_the_champion_goes_by_is_told_from_its_files(get: Get, small: SmallLoop) -> None:
    champion = small.promotions[-1].version
    address = f"/models/small/versions/{champion}/explanation"
    assert f'data-source="/evergreen{address}"' in get("/models/small").text
    told = get(address).json()
    packed = json.loads(small.stores.models.load_promoted(small.promotions[-1]).files["explanation.json"])
    assert [one["name"] for one in told["features"]] == ["x"]
    assert told["features"][0]["dependence"] == packed["features"]["x"]["dependence"]
    # The line rises by two, and without x the mean is all that is left.
    assert told["features"][0]["importance"] == pytest.approx(0.5, abs=0.25)
    assert "version 1: it is the baseline" in get("/models/small/versions/1/explanation").json()["trouble"]
    assert "no promoted version 99" in get("/models/small/versions/99/explanation").json()["trouble"]
    assert get("/models/secret/versions/1/explanation", "guest").status_code == 404
    assert "explanation" not in get("/models/secret").text


def test_what_several_models_wait_for_stands_once_above_the_list(get: Get, small: SmallLoop) -> None:
    """A guest learns of no other model by it; one that has not scored a batch yet has its incidents, too."""
    for name in ("small", "secret"):
        report(open_stores(small.at, name).ledger, "failed-batch", day(5), "it hung", place="MLflow at http://m")
    told = re.sub(r"<[^>]+>", "", get("/models").text)
    assert told.count("MLflow at http://m: does not answer") == 1
    assert re.search("2 models wait for it: (small, secret|secret, small)", told)
    assert "3 models that you may read; 3 need a person, first in the list." in told
    told = re.sub(r"<[^>]+>", "", get("/models", "guest").text)
    assert ("1 model waits for it: small" in told, "secret" in told) == (True, False)


def test_a_watch_that_does_not_watch_is_told_above_the_list(get: Get) -> None:
    """Who is to tell of a loop that stands still may stand still, too."""
    assert 'id="watch"' not in get("/models").text
    before = datetime.now(UTC) - timedelta(hours=3)
    with create_session() as session:
        session.merge(DagModel(dag_id="evergreen__watch", bundle_name="dags", is_paused=False))
        session.flush()
        run = {"dag_id": "evergreen__watch", "run_type": "scheduled", "run_after": before}
        session.add(DagRun(run_id="one", state="success", **run))
        session.flush()
        session.execute(update(DagRun).where(DagRun.dag_id == "evergreen__watch").values(end_date=before))
    told = re.sub(r"<[^>]+>", "", get("/models").text)
    assert f"The watch has not ended a run since {before:%Y-%m-%d %H:%M} UTC, 3 h ago." in told
    with create_session() as session:
        session.execute(update(DagModel).where(DagModel.dag_id == "evergreen__watch").values(is_paused=True))
    assert "The watch is paused. Unpause it" in get("/models").text


def test_what_came_last_stands_first_and_how_long_ago_that_is(get: Get) -> None:
    told = get("/models/small").text
    for table in ("attempts", "batches"):
        body = told.partition(f'id="{table}"')[2].partition("</table>")[0]
        days = re.findall(r'<tr[^>]*><td class="batch">(?:<a[^>]*>)?(\d{4}-\d\d-\d\d)', body)
        assert len(days) > 2
        assert days == sorted(days, reverse=True)
    ended = (datetime.now(UTC) - datetime(2024, 1, 6, tzinfo=UTC)).days
    assert f"it ended {ended} days ago" in told
    assert f"it ended {ended} days ago" in get("/models").text
