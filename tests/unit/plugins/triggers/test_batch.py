"""The trigger probes, fires when there is something to do, and never holds the event loop."""

import asyncio
import itertools
import json
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.sdk.module_loading import import_string

from airflow_evergreen.triggers import batch as module
from airflow_evergreen.triggers.batch import BatchTrigger
from evergreen.errors import Outage
from evergreen.records import BatchRecord, ClaimRecord, SectionVerdict, VerdictRecord

PAST, FUTURE = "2024-01-01T00:00:00+00:00", "2100-01-01T00:00:00+00:00"
POLL = 0.01


async def first_event(trigger, timeout):
    async with asyncio.timeout(timeout):
        async for event in trigger.run():
            return event.payload


def fire(trigger, timeout=5.0):
    """What a trigger fires; it must do so in time."""
    return asyncio.run(first_event(trigger, timeout))


def stays_silent(trigger):
    """Whether a trigger probes three times without firing."""
    probes = []
    probe = trigger._probe
    trigger._probe = lambda before: probes.append(before) or probe(before)

    async def watch():
        firing = asyncio.create_task(first_event(trigger, 30))
        while len(probes) < 4 and not firing.done():
            await asyncio.sleep(POLL)
        fired = firing.done()
        firing.cancel()
        return not fired

    return asyncio.run(watch())


@pytest.fixture
def landing(deployment):
    """Let a file arrive for the model taxi."""
    folder = Path(deployment.landing) / "taxi"

    def land(name, content="id\n1\n"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)

    return land


@pytest.fixture
def patient(write_folder, edit_config):
    """A model that waits for its files for ever."""
    return write_folder(config=edit_config("wait: 6h", "wait: forever"))


@pytest.fixture
def stable(write_folder, edit_config):
    """A model whose files are complete when their sizes stay the same."""

    def make(rule="stable: 0s"):
        old = '  complete: {marker: "trips_{batch:%Y-%m-%d}.done"}\n  wait: 6h'
        return write_folder(config=edit_config(old, f"  complete: {{{rule}}}\n  wait: forever"))

    return make


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch": "2024-01-01", "poll": 30.0, "model_id": "taxi"},
        {"batch": "2024-01-01", "poll": 1, "model_id": "taxi", "until": "scores", "give_up": PAST},
        {
            "batch": "2024-01-01",
            "poll": 30,
            "source": {"location": "s3://raw/x", "files": "a_{batch:%Y}", "complete": {"count": 2}, "conn_id": "c"},
            "calendar": ("day", PAST),
            "deadline": FUTURE,
        },
    ],
    ids=["rows", "scores", "source"],
)
def test_it_survives_its_way_through_the_database(arguments):
    trigger = BatchTrigger(**arguments)
    path, stored = json.loads(json.dumps(trigger.serialize()))
    again = import_string(path)(**stored)
    assert type(again) is BatchTrigger
    for name, value in arguments.items():
        assert getattr(again, name) == (list(value) if isinstance(value, tuple) else value), name
    assert again.serialize()[1].keys() == trigger.serialize()[1].keys()


def test_it_fires_when_the_marker_comes(patient, landing):
    landing("trips_2024-01-01.csv")
    trigger = BatchTrigger("2024-01-01", POLL, "taxi")
    assert stays_silent(trigger)
    landing("trips_2024-01-01.done")
    assert fire(BatchTrigger("2024-01-01", POLL, "taxi")) is not None


def test_it_fires_when_the_time_is_over(model):
    assert fire(BatchTrigger("2024-01-01", POLL, "taxi")) == {"sizes": None}


def test_it_writes_nothing(model, ledger):
    fire(BatchTrigger("2024-01-01", POLL, "taxi"))
    assert ledger.get(BatchRecord, "rows.2024-01-01") is None


def test_stable_files_fire_with_the_sizes_seen_before(stable, landing):
    stable()
    landing("trips_2024-01-01.csv", "12345")
    assert fire(BatchTrigger("2024-01-01", POLL, "taxi")) == {"sizes": [["trips_2024-01-01.csv", 5]]}


def test_growing_files_do_not_fire(stable, landing, monkeypatch):
    stable()
    probe, size = module.probe_batch, iter(range(1, 100))

    def growing(*arguments):
        landing("trips_2024-01-01.csv", "x" * next(size))
        return probe(*arguments)

    monkeypatch.setattr(module, "probe_batch", growing)
    assert stays_silent(BatchTrigger("2024-01-01", POLL, "taxi"))


def test_sizes_must_stay_the_same_as_long_as_the_model_says(stable, landing):
    stable("stable: 1s")
    landing("trips_2024-01-01.csv", "12345")
    began = time.monotonic()
    fire(BatchTrigger("2024-01-01", POLL, "taxi"))
    assert time.monotonic() - began >= 1


def test_sizes_must_stay_the_same_as_long_as_a_source_says(tmp_path):
    (tmp_path / "rows_2024-01-31.csv").write_text("x")
    source = {"location": str(tmp_path), "files": "rows_{batch:%Y-%m-%d}.csv", "complete": {"stable": "1s"}}
    began = time.monotonic()
    fire(BatchTrigger("2024-01-31", POLL, source=source, calendar=("day", "2024-01-31T00:00:00+00:00")))
    assert time.monotonic() - began >= 1


def test_an_earlier_batch_is_waited_for(model, ledger):
    assert stays_silent(BatchTrigger("2024-01-02", POLL, "taxi"))
    assert stays_silent(BatchTrigger("2024-01-02", POLL, "taxi", give_up=FUTURE))
    ledger.put(BatchRecord(as_of="2024-01-01", feed="rows", revision=0, state="published"))
    assert fire(BatchTrigger("2024-01-02", POLL, "taxi")) == {"sizes": None}


def test_it_gives_up_on_an_earlier_batch_in_its_time(model):
    assert fire(BatchTrigger("2024-01-02", POLL, "taxi", give_up=PAST)) == {"sizes": None}


def test_labels_have_files_of_their_own(write_folder, edit_config, landing):
    write_folder(config=edit_config("wait: 12h", "wait: forever\n  complete: {count: 1}"))
    landing("trips_2024-01-01.csv")
    landing("trips_2024-01-01.done")
    assert stays_silent(BatchTrigger("2024-01-01", POLL, "taxi", "labels"))
    landing("labels_2024-01-01.csv")
    fire(BatchTrigger("2024-01-01", POLL, "taxi", "labels"))


def test_a_query_is_looked_at_until_its_batch_can_be_asked_for(write_folder, edit_config, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPS_DB", f"sqlite:///{tmp_path / 'trips.db'}")
    database = sqlite3.connect(tmp_path / "trips.db", isolation_level=None)
    database.execute("CREATE TABLE loads (day TEXT)")
    text = edit_config('files: "trips_{batch:%Y-%m-%d}*.csv"', "sql: SELECT 1 WHERE :start < :end")
    text = text.replace(
        'complete: {marker: "trips_{batch:%Y-%m-%d}.done"}',
        'database: TRIPS_DB\n  complete: {sql: "SELECT count(*) FROM loads WHERE day = :batch"}',
    )
    write_folder(config=text.replace("wait: 6h", "wait: forever"))
    assert stays_silent(BatchTrigger("2024-01-01", POLL, "taxi"))
    database.execute("INSERT INTO loads VALUES ('2024-01-01')")
    assert fire(BatchTrigger("2024-01-01", POLL, "taxi")) == {"sizes": None}


def test_scores_fire_when_claim_and_labels_are_there(model, ledger):
    def trigger():
        return BatchTrigger("2024-01-01", POLL, "taxi", "scores", give_up=FUTURE)

    assert stays_silent(trigger())
    nobody = {"version": None, "promotion": None, "why": "", "data": "d", "label_cut": None}
    ledger.put(ClaimRecord(as_of="2024-01-01", revision=0, **nobody))
    assert stays_silent(trigger())
    ledger.put(BatchRecord(as_of="2024-01-01", feed="labels", revision=0, state="missing"))
    assert fire(trigger()) == {"sizes": None}


def test_scores_wait_for_the_check_before_until_their_deadline(model, ledger):
    def trigger(deadline=FUTURE):
        return BatchTrigger("2024-01-02", POLL, "taxi", "scores", deadline=deadline, give_up=FUTURE)

    assert stays_silent(trigger(PAST)), "what is not settled is waited for beyond it"
    nobody = {"version": None, "promotion": None, "why": "", "data": "d", "label_cut": None}
    ledger.put(ClaimRecord(as_of="2024-01-02", revision=0, **nobody))
    ledger.put(BatchRecord(as_of="2024-01-02", feed="labels", revision=0, state="published"))
    assert stays_silent(trigger())
    assert fire(trigger(PAST)) == {"sizes": None}
    sections = dict.fromkeys(("freshness", "inputs", "predictions", "outcomes"), SectionVerdict(state="ok", why=""))
    asked = {"last_ask": None, "previous_ask": None, "action": "none", "reasons": ()}
    nobody = {"covers": ("2024-01-01",), "promotion": None, "version": None}
    ledger.put(VerdictRecord(as_of="2024-01-01", n=0, **nobody, **sections, **asked))
    assert fire(trigger()) == {"sizes": None}


def test_scores_fire_when_patience_ends(model):
    assert fire(BatchTrigger("2024-01-01", POLL, "taxi", "scores", give_up=PAST)) == {"sizes": None}


@pytest.fixture
def source(tmp_path):
    """A trigger for one file in a folder."""
    where = {"location": str(tmp_path), "files": "rows_{batch:%Y-%m-%d}.csv", "complete": {"count": 1}}

    def make(deadline=None):
        calendar = ("day", "2024-01-31T00:00:00+00:00")
        return BatchTrigger("2024-01-31", POLL, source=where, calendar=calendar, deadline=deadline)

    return make


def test_a_source_fires_when_its_file_comes(source, tmp_path):
    (tmp_path / "rows_2024-01-30.csv").write_text("x")
    assert stays_silent(source())
    (tmp_path / "rows_2024-01-31.csv").write_text("x")
    assert fire(source()) is not None


def test_a_source_fires_when_it_is_overdue(source):
    assert stays_silent(source(FUTURE))
    assert fire(source(PAST)) == {"sizes": None}
    moment = datetime.now(UTC) + timedelta(seconds=0.2)
    fire(source(moment.isoformat()))
    assert datetime.now(UTC) >= moment


@pytest.mark.parametrize("error", [Outage("the lake is down"), OSError("no such folder"), KeyError("x")])
def test_a_probe_that_fails_wakes_a_worker_which_can_be_retried_and_reported(error, patient, monkeypatch, caplog):
    def fails(*_):
        raise error

    monkeypatch.setattr(module, "probe_batch", fails)
    assert fire(BatchTrigger("2024-01-01", POLL, "taxi")) == {"sizes": None}
    assert "a worker probes again" in caplog.text


def test_a_folder_that_is_gone_wakes_a_worker():
    assert fire(BatchTrigger("2024-01-01", POLL, "gone")) == {"sizes": None}


def test_a_probe_that_fails_is_answered_no_faster_than_others(patient, monkeypatch):
    def fails(*_):
        raise OSError("not mounted here")

    monkeypatch.setattr(module, "probe_batch", fails)
    began = time.monotonic()
    fire(BatchTrigger("2024-01-01", 0.5, "taxi"))
    assert time.monotonic() - began >= 0.5


def test_a_config_that_is_broken_for_a_moment_wakes_nobody(patient):
    text = (patient / "config.yaml").read_text()
    (patient / "config.yaml").write_text(text[: len(text) // 2])
    assert stays_silent(BatchTrigger("2024-01-01", POLL, "taxi"))
    assert stays_silent(BatchTrigger("2024-01-01", POLL, "taxi", give_up=FUTURE))


def test_a_config_that_stays_broken_wakes_a_worker_when_patience_ends(patient):
    (patient / "config.yaml").write_text("title: [")
    assert fire(BatchTrigger("2024-01-01", POLL, "taxi", give_up=PAST)) == {"sizes": None}


def test_a_slow_probe_does_not_hold_the_event_loop(patient, monkeypatch):
    probe = module.probe_batch

    def slow(*arguments):
        time.sleep(0.6)
        return probe(*arguments)

    monkeypatch.setattr(module, "probe_batch", slow)
    ticks = []

    async def tick():
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    async def both():
        ticking = asyncio.create_task(tick())
        with pytest.raises(TimeoutError):
            await first_event(BatchTrigger("2024-01-01", POLL, "taxi"), 0.8)
        ticking.cancel()

    asyncio.run(both())
    assert max(after - before for before, after in itertools.pairwise(ticks)) < 0.5
