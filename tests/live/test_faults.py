"""What goes wrong beside a real scheduler: killed tasks and services, an outage, a paused DAG, verdicts asked twice."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.demo.feeder import feed
from evergreen.incidents import last_incident
from evergreen.records import (
    ApprovalRecord,
    AttemptRecord,
    BatchRecord,
    ClaimRecord,
    NoticeRecord,
    PromotionRecord,
    VerdictRecord,
)
from evergreen.replay.runner import Runner
from evergreen.steps.check_drift import check_drift
from evergreen.steps.ingest_batch import ingest_batch
from evergreen.steps.score_batch import score_batch
from evergreen.steps.validate_batch import validate_batch
from evergreen.storage.stores import open_stores
from tests.browser import browsing, needs_browser, shoot, sign_in
from tests.live.services import FAST_TO_MISS, NIGHTLY, Live, make_model, running, wait_until
from tests.short_loop import SHORT, STREAM, fingerprint, land, run, take_labels

# Few days and few models: the scheduler looks at each open run all the time. With so few labels needed, the second
# batch's check asks for a first model.
QUICK = {"training": {"window": 2, "min_labels": 200}}
VERDICT, RUN = "2024-01-02.0", "verdict-2024-01-02.0-run-1"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFolder]:
    root = tmp_path_factory.mktemp("models")
    # Each has the days that its test lands: the sensors of others would only wait.
    made = {name: make_model(root, name, **QUICK, schedule=until(2)) for name in ("first", "paused", "unwatched")}
    made["killed"] = make_model(root, "killed", **QUICK, schedule=until(4))
    gate = {**SHORT["gate"], "approval": "required"}
    made["signed"] = make_model(root, "signed", **QUICK, schedule=until(2), gate=gate)
    made["cutoff"] = make_patient(root, "cutoff")
    # Its third day never comes, and no more than four do.
    daily = {"every": "day", "start": "2024-01-01", "end": "2024-01-04"}
    made["gap"] = make_model(
        root,
        "gap",
        training=QUICK["training"],
        schedule=daily,
        source={"files": "green_{batch:%Y-%m-%d}*.csv.gz", "complete": {"count": 1}, "wait": "6h"},
        labels={
            "files": "labels_{batch:%Y-%m-%d}.csv",
            "complete": {"count": 1},
            "wait": "12h",
            "key": ["trip_id"],
            "target": {"trip_minutes": "float"},
            "max_delay": 7,
        },
    )
    return made


def until(day: int) -> dict[str, str]:
    """The schedule up to a day."""
    return {**NIGHTLY, "end": f"2024-01-0{day}"}


def make_patient(root: Path, name: str) -> ModelFolder:
    """A model whose tasks are tried often."""
    tasks = {"poll": "1s", "retries": 8, "retry_delay": "2s"}
    return make_model(root, name, **QUICK, schedule=until(3), tasks=tasks)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, models: dict[str, ModelFolder]) -> Iterator[Live]:
    """Services of which two models already have a verdict that asks."""
    home = tmp_path_factory.mktemp("live")
    at = Locations.under(home)
    for name in ("first", "signed", "paused", "unwatched"):
        run(models[name], at, 1)
    for name in ("first", "signed"):
        take_second(models[name], at)
    land(models["gap"], at, 1, 2, 4)
    with running(home, models["first"].path.parent, **FAST_TO_MISS) as services:
        # What these tests are about is taken in already.
        for name in ("first", "signed", "unwatched"):
            pause(services, f"{name}__batch")
            pause(services, f"{name}__drift")
        yield services


def pause(live: Live, dag_id: str) -> None:
    wait_until(lambda: live.query("select 1 from dag where dag_id = ?", dag_id), 600, f"{dag_id} to be known")
    live.call("PATCH", f"/dags/{dag_id}", {"is_paused": True})


def take_second(model: ModelFolder, at: Locations) -> None:
    """Take the second batch to the check that asks for a first model, and no further."""
    land(model, at, 2)
    for step in (ingest_batch, validate_batch, score_batch, take_labels, check_drift):
        step(model, at, "2024-01-02")


def attempts(model: ModelFolder, at: Locations) -> list[AttemptRecord]:
    ledger = open_stores(at, model.id).ledger
    return list(ledger.all(AttemptRecord, VERDICT))


def challengers(model: ModelFolder, at: Locations) -> int:
    models = open_stores(at, model.id).models
    return len(models._client.search_runs([models._experiment], "tags.`evergreen.role` = 'challenger'"))


def await_run(live: Live, dag_id: str, seconds: float = 600) -> None:
    wait_until(lambda: "success" in live.runs(dag_id).values(), seconds, f"a run of {dag_id} to succeed")


def test_each_attempt_is_made_once_however_often_it_is_asked_for(live: Live, models: dict[str, ModelFolder]) -> None:
    await_run(live, "first__retrain")
    # The watch has asked; others ask for what it has asked for.
    conf = {"verdict": VERDICT, "as_of": "2024-01-02", "run": 1}

    def refused() -> bool:
        """On SQLite Airflow may find its database locked, and then has not looked yet."""
        with pytest.raises(AssertionError, match=r"409|500") as answer:
            live.trigger("first__retrain", RUN, **conf)
        return "409" in str(answer.value)

    for _ in range(2):
        wait_until(refused, 60, "first__retrain to say that it has this run")
    assert live.runs("first__retrain") == {RUN: "success"}
    assert [attempt.outcome for attempt in attempts(models["first"], live.at)] == ["passed"]
    assert challengers(models["first"], live.at) == 1


@needs_browser
def test_a_human_decides_where_config_wants_it(live: Live, models: dict[str, ModelFolder], tmp_path: Path) -> None:
    """The task waits without a worker and without the triggerer, until somebody says yes on its page, and why."""
    ledger = open_stores(live.at, "signed").ledger
    state = lambda: live.tasks("signed__retrain", RUN).get("approve_model", ("", 0))[0]  # noqa: E731
    wait_until(lambda: state() == "awaiting_input", 600, "the question")
    asked = last_incident(ledger, "approval")
    assert asked is not None
    assert ledger.get(NoticeRecord, f"{asked.opened.id}.opened.log") is not None
    with browsing() as page:
        sign_in(page, live.services.airflow_url, "admin", live.services.secrets["admin"])
        page.goto(f"{live.services.airflow_url}/dags/signed__retrain/runs/{RUN}/tasks/approve_model/required_actions")
        page.get_by_text("Promote the challenger of signed?").first.wait_for()
        page.locator("#element_reason").fill("it knows the new tariff")
        shoot(page, "approve", tmp_path)
        page.get_by_role("button", name="Approve", exact=True).click()
        wait_until(lambda: ledger.get(ApprovalRecord, VERDICT), 300, "the yes to be on record")
    await_run(live, "signed__retrain")
    answer = ledger.get(ApprovalRecord, VERDICT)
    assert answer is not None
    assert (answer.approved, answer.by, answer.why) == (True, "admin", "it knows the new tariff")
    assert ledger.last(PromotionRecord, "champion") is not None


def test_a_batch_that_never_comes_is_missing_and_later_ones_go_on(live: Live, models: dict[str, ModelFolder]) -> None:
    ledger = open_stores(live.at, "gap").ledger
    wait_until(lambda: ledger.get(VerdictRecord, "2024-01-04"), 600, "the fourth day to be checked")
    run_id = "scheduled__2024-01-04T00:00:00+00:00"
    wait_until(lambda: live.runs("gap__batch")[run_id] == "failed", 600, "the third day's run to fail")
    tasks = live.tasks("gap__batch", run_id)
    assert tasks["wait_for_batch"] == tasks["score_batch"] == ("failed", 1)
    assert tasks["ingest_batch"][0] == tasks["validate_batch"][0] == "upstream_failed"
    for day, state in (("02", "published"), ("03", "missing"), ("04", "published")):
        record, claim = ledger.get(BatchRecord, f"rows.2024-01-{day}"), ledger.last(ClaimRecord, f"2024-01-{day}")
        assert record is not None
        assert claim is not None
        assert record.state == state
    incident = last_incident(ledger, "stale-rows")
    assert incident is not None
    assert "batch 2024-01-03 never came" in incident.opened.told
    assert incident.resolved is None
    assert last_incident(ledger, "failed-batch") is None


def test_a_paused_retrain_dag_is_reported_and_runs_once_when_unpaused(
    live: Live, models: dict[str, ModelFolder]
) -> None:
    model, ledger = models["paused"], open_stores(live.at, "paused").ledger
    pause(live, "paused__retrain")
    land(model, live.at, 2)
    incident = wait_until(lambda: last_incident(ledger, "paused"), 600, "the incident")
    for said in ("paused__retrain is paused", f"verdict {VERDICT}", "The champion stays", "Unpause"):
        assert said in incident.opened.told
    time.sleep(5)
    assert live.runs("paused__retrain") == {RUN: "queued"}
    live.call("PATCH", "/dags/paused__retrain", {"is_paused": False})
    await_run(live, "paused__retrain")
    assert len(live.runs("paused__retrain")) == 1
    assert len(attempts(model, live.at)) == challengers(model, live.at) == 1
    over = last_incident(ledger, "paused")
    assert over is not None
    assert over.resolved is not None


def test_a_verdict_that_opens_while_the_triggerer_is_dead_is_answered_once(
    live: Live, models: dict[str, ModelFolder]
) -> None:
    model = models["unwatched"]
    live.services.stop_one("triggerer", kill=True)
    take_second(model, live.at)
    assert open_stores(live.at, model.id).ledger.get(VerdictRecord, "2024-01-02").action == "retrain"  # type: ignore[union-attr]
    time.sleep(5)
    assert live.runs("unwatched__retrain") == {}
    live.services.start_one("triggerer")
    await_run(live, "unwatched__retrain")
    assert live.runs("unwatched__retrain") == {RUN: "success"}
    assert len(attempts(model, live.at)) == challengers(model, live.at) == 1


@contextmanager
def killing(live: Live, *targets: tuple[str, str, bool]) -> Iterator[dict[str, str]]:
    """Kill each target once, as soon as it is seen to run: the task's process, or the worker that supervises it too.

    :param targets: DAG, task, and whether the worker goes as well.
    """
    left, killed, done = list(targets), dict[str, str](), threading.Event()

    def strike() -> None:
        while left and not done.is_set():
            for target in list(left):
                dag_id, task_id, worker = target
                text = "select pid, run_id from task_instance where dag_id = ? and task_id = ? and state = 'running'"
                for pid, run_id in live.query(text, dag_id, task_id):
                    if not pid or not psutil.pid_exists(pid):
                        continue
                    parent = psutil.Process(pid).ppid()
                    os.kill(pid, signal.SIGKILL)
                    if worker:
                        os.kill(parent, signal.SIGKILL)
                    killed[task_id] = run_id
                    left.remove(target)
                    break
            time.sleep(0.04)

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


def test_killed_tasks_and_a_killed_worker_change_nothing(
    live: Live, models: dict[str, ModelFolder], tmp_path: Path
) -> None:
    model = models["killed"]
    targets = [
        ("killed__batch", "ingest_batch", False),
        ("killed__batch", "score_batch", False),
        ("killed__retrain", "train_model", True),
        ("killed__retrain", "promote_model", False),
    ]
    with killing(live, *targets) as killed:
        list(feed(model, live.at, replace(STREAM, batches=4)))
    assert set(killed) == {task for _, task, _ in targets}
    for dag_id, task_id, _ in targets:
        state, tries = live.tasks(dag_id, killed[task_id])[task_id]
        assert (state in ("success", "skipped"), tries > 1) == (True, True), (task_id, state, tries)
    core = Locations.under(tmp_path)
    for number in range(1, 5):
        land(model, core, number)
        Runner(model, core).run_batch(model.config.calendar.name(number - 1))
    assert fingerprint(model, live.at, "2024-01-04") == fingerprint(model, core, "2024-01-04")
    # What was killed was trained once all the same.
    assert len(attempts(model, live.at)) == challengers(model, live.at) == challengers(model, core) == 1


@pytest.mark.parametrize(("name", "seconds"), [("cutoff", 0), pytest.param("minute", 60, marks=pytest.mark.long)])
def test_a_dead_mlflow_server_is_waited_for(
    live: Live, models: dict[str, ModelFolder], name: str, seconds: float
) -> None:
    """Down while the first model is trained, then down while its first batch is scored."""
    model = models.get(name) or make_patient(models["first"].path.parent, name)
    ledger, sound = open_stores(live.at, name).ledger, replace(STREAM, broken=())
    retrain, batch = (f"{name}__retrain", RUN), (f"{name}__batch", "scheduled__2024-01-04T07:00:00+00:00")
    land(model, live.at, 1)
    wait_until(lambda: ledger.get(VerdictRecord, "2024-01-01"), 600, "the first check")
    with server_down(live, seconds):
        land(model, live.at, 2)
        wait_until(lambda: tries(live, *retrain, "train_model") > 1, 600, "train_model to be tried again")
    await_run(live, retrain[0])
    promotion = ledger.last(PromotionRecord, "champion")
    assert promotion is not None
    assert (promotion.number, promotion.version) == (1, 1)
    with server_down(live, seconds):
        land(model, live.at, 3, stream=sound)
        wait_until(lambda: tries(live, *batch, "score_batch") > 1, 600, "score_batch to be tried again")
    wait_until(lambda: live.tasks(*batch)["score_batch"][0] == "success", 600, "score_batch to succeed")
    assert live.runs(retrain[0]) == {retrain[1]: "success"}
    assert len(attempts(model, live.at)) == challengers(model, live.at) == 1
    claim = ledger.last(ClaimRecord, "2024-01-03")
    assert claim is not None
    assert (claim.version, claim.revision) == (1, 0)


@contextmanager
def server_down(live: Live, seconds: float) -> Iterator[None]:
    """MLflow's server is gone for the block, and for so many seconds at least."""
    live.services.stop_one("mlflow")
    since = time.monotonic()
    yield
    time.sleep(max(0.0, seconds - (time.monotonic() - since)))
    live.services.start_one("mlflow")


def tries(live: Live, dag_id: str, run_id: str, task_id: str) -> int:
    return live.tasks(dag_id, run_id).get(task_id, ("", 0))[1]
