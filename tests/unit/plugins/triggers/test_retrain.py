"""One watch over all models: a due attempt is begun once, a run that failed is followed by the next."""

import asyncio
import itertools
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.module_loading import import_string

from airflow_evergreen.triggers import retrain as module
from airflow_evergreen.triggers.retrain import RetrainTrigger
from evergreen.config.locations import model_roots
from evergreen.config.model_folder import BrokenFolder, find_model_folders
from evergreen.records import BatchRecord, ClaimRecord, SectionVerdict, VerdictRecord
from evergreen.steps.watch_models import report_changes
from evergreen.storage.stores import open_stores

POLL = 0.01
BATCH = "2024-01-01"


class Runs:
    """The DAG runs that Airflow has: run ids by DAG, and which of them are live."""

    def __init__(self):
        self.known, self.live, self.asked, self.delay = {}, set(), 0, 0.0

    def count(self, dag_id, logical_dates=None, run_ids=None, states=None):
        assert logical_dates is None
        assert (run_ids is None) is not (states is None)
        self.asked += 1
        time.sleep(self.delay)
        known = self.known.get(dag_id, [])
        if run_ids is not None:
            return len(set(run_ids) & set(known))
        assert set(states) == {"queued", "running"}
        return len(self.live & set(known))


@pytest.fixture
def runs(monkeypatch):
    """Airflow's API, which is asked through the triggerer's supervisor."""
    runs = Runs()
    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", staticmethod(runs.count))
    return runs


@pytest.fixture
def ask(write_folder, deployment):
    """A model whose first check has asked for a retraining, or has not."""

    def make(name, action="retrain"):
        write_folder(name)
        ledger = open_stores(deployment, name).ledger
        nobody = {"version": None, "promotion": None, "why": "", "data": "d", "label_cut": None}
        ledger.put(ClaimRecord(as_of=BATCH, revision=0, **nobody))
        ledger.put(BatchRecord(as_of=BATCH, feed="labels", revision=0, state="published", clean=200))
        sections = dict.fromkeys(("freshness", "inputs", "predictions", "outcomes"), SectionVerdict(state="ok", why=""))
        asked = {"last_ask": f"{BATCH}.0" if action == "retrain" else None, "previous_ask": None}
        common = {"covers": (BATCH,), "promotion": None, "version": None, "reasons": (), "action": action}
        ledger.put(VerdictRecord(as_of=BATCH, n=0, **sections, **asked, **common))
        return ledger

    return make


async def first_event(timeout):
    async with asyncio.timeout(timeout):
        async for event in RetrainTrigger(POLL).run():
            return event.payload


def fire(timeout=5.0):
    return asyncio.run(first_event(timeout))


def stays_silent():
    """Whether the watch probes three times without firing."""
    probes = []
    trigger = RetrainTrigger(POLL)
    probe = trigger._find_runs
    trigger._find_runs = lambda: probes.append(1) or probe()

    async def watch():
        firing = asyncio.create_task(anext(trigger.run()))
        while len(probes) < 4 and not firing.done():
            await asyncio.sleep(POLL)
        fired = firing.done()
        firing.cancel()
        return not fired

    return asyncio.run(watch())


def run_of(model_id, number):
    run_id = f"verdict-{BATCH}.0-run-{number}"
    conf = {"verdict": f"{BATCH}.0", "as_of": BATCH, "run": number}
    return {"trigger_dag_id": f"{model_id}__retrain", "trigger_run_id": run_id, "conf": conf}


def test_it_survives_its_way_through_the_database():
    path, stored = json.loads(json.dumps(RetrainTrigger(7.5).serialize()))
    again = import_string(path)(**stored)
    assert type(again) is RetrainTrigger
    assert again.poll == 7.5


def test_without_a_verdict_that_asks_nothing_happens(runs, ask):
    ask("taxi", action="none")
    assert stays_silent()
    assert runs.asked == 0


def test_without_models_nothing_happens(runs):
    assert stays_silent()


def test_a_due_attempt_is_one_run(runs, ask):
    ask("taxi")
    assert fire() == [run_of("taxi", 1)]
    assert json.loads(json.dumps(fire())) == [run_of("taxi", 1)]


def test_due_attempts_of_all_models_are_begun_at_once(runs, ask):
    ask("bikes")
    ask("flights", action="none")
    ask("taxi")
    assert fire() == [run_of("bikes", 1), run_of("taxi", 1)]


@pytest.mark.parametrize("run_id", [run_of("taxi", 1)["trigger_run_id"], "manual__2024-01-05"])
def test_while_a_run_is_live_no_other_is_begun(run_id, runs, ask):
    ask("taxi")
    runs.known, runs.live = {"taxi__retrain": [run_id]}, {run_id}
    assert stays_silent()
    assert runs.asked >= 2
    runs.live = set()
    assert len(fire()) == 1


def test_a_live_run_of_one_model_holds_up_no_other(runs, ask):
    ask("bikes")
    ask("taxi")
    runs.known, runs.live = {"bikes__retrain": ["manual__1"]}, {"manual__1"}
    assert fire() == [run_of("taxi", 1)]


def test_runs_that_ended_without_a_result_are_followed_by_the_next_number(runs, ask):
    ask("taxi")
    runs.known = {"taxi__retrain": [run_of("taxi", 1)["trigger_run_id"], run_of("taxi", 2)["trigger_run_id"]]}
    assert fire() == [run_of("taxi", 3)]


def test_a_broken_ledger_stops_no_other_model(runs, ask, deployment, caplog):
    ask("bikes")
    ask("taxi")
    open_stores.cache_clear()
    (record,) = Path(deployment.lake).glob("ledger/dev/bikes/verdict/*/0.json")
    record.write_text("{")
    assert fire() == [run_of("taxi", 1)]
    assert "model bikes: its open verdict could not be read" in caplog.text


def test_a_folder_that_breaks_is_handed_over_once_two_probes_saw_it(runs, ask, write_folder, monkeypatch, deployment):
    monkeypatch.setattr(module, "_BETWEEN", 0.0)
    ask("taxi", action="none")
    assert stays_silent()
    write_folder("bikes", config="title: [")
    trigger = RetrainTrigger(POLL)
    assert [trigger._has_changed(), trigger._has_changed()] == [False, True]
    assert fire() == []
    (broken,) = (one for one in find_model_folders(model_roots()).values() if isinstance(one, BrokenFolder))
    report_changes(broken, deployment, datetime.now(UTC))
    assert stays_silent()


def test_once_an_hour_it_shows_that_it_watches(runs, ask, monkeypatch):
    ask("taxi", action="none")
    monkeypatch.setattr(module, "_LONGEST", 0.05)
    assert fire() == []


def test_a_broken_folder_stops_no_other_model(runs, ask, write_folder):
    write_folder("bikes", config="title: [")
    ask("taxi")
    assert fire() == [run_of("taxi", 1)]


def test_an_api_that_does_not_answer_is_asked_again(runs, ask, monkeypatch):
    ask("taxi")
    answers = iter([RuntimeError("API server down"), RuntimeError("API server down")])

    def count(*arguments, **options):
        failure = next(answers, None)
        if failure is not None:
            raise failure
        return runs.count(*arguments, **options)

    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", staticmethod(count))
    assert fire() == [run_of("taxi", 1)]


def test_a_verdict_that_comes_later_is_seen(runs, ask):
    async def both():
        waiting = asyncio.create_task(first_event(5))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await asyncio.to_thread(ask, "taxi")
        return await waiting

    assert asyncio.run(both()) == [run_of("taxi", 1)]


@pytest.mark.parametrize("spoil", ["features.py", "config.yaml"])
def test_a_folder_that_is_mended_while_it_waits_is_read_again(spoil, runs, ask, tmp_path):
    ask("taxi")
    path = tmp_path / "models" / "taxi" / spoil
    sound = path.read_text()
    path.write_text("title: [")

    async def both():
        waiting = asyncio.create_task(first_event(5))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        path.write_text(sound)
        return await waiting

    assert asyncio.run(both()) == [run_of("taxi", 1)]


def test_an_editors_lock_stops_no_watch(runs, ask, tmp_path):
    ask("taxi")
    (tmp_path / "models" / "taxi" / ".#config.yaml").symlink_to("ada@host.1:1")
    assert fire() == [run_of("taxi", 1)]


def test_a_slow_answer_does_not_hold_the_event_loop(runs, ask):
    ask("taxi")
    runs.delay = 0.6

    async def both():
        waiting = asyncio.create_task(first_event(5))
        ticks = []
        while not waiting.done():
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)
        return ticks

    ticks = asyncio.run(both())
    assert max(after - before for before, after in itertools.pairwise(ticks)) < 0.5
