"""What names batches and rows is put on record once; a folder that names them otherwise is refused before any write."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen.errors import IdentityChanged
from evergreen.judging.attempts import DueAttempt
from evergreen.records import IdentityRecord
from evergreen.replay.runner import Runner
from evergreen.replay.status import describe_status, describe_version
from evergreen.steps.ask_retraining import ask_retraining
from evergreen.steps.check_drift import check_drift
from evergreen.steps.close_verdict import close_verdict
from evergreen.steps.ingest_batch import ingest_batch
from evergreen.steps.reingest_batch import reingest_batch
from evergreen.steps.rollback_model import plan_rollback
from evergreen.steps.score_batch import score_batch
from evergreen.steps.send_alerts import send_alerts
from evergreen.steps.train_model import train_model
from evergreen.steps.validate_batch import validate_batch
from evergreen.steps.wait_for_batch import wait_for_batch
from evergreen.storage import ledger as ledger_module
from evergreen.storage.identity import put_identity
from evergreen.storage.ledger import Ledger
from tests.short_loop import records
from tests.unit.small_loop import SmallLoop, day, doubled

TWO_KEYS = {"key": ["id", "at"], "event_time": "at", "columns": {"id": "integer", "at": "timestamp", "x": "float"}}
OTHERS = {
    "an earlier start": ({"schedule": {"every": "day", "start": "2023-12-01"}}, "schedule.start: found 2023-12-01; on"),
    "a later start": ({"schedule": {"every": "day", "start": "2024-01-02"}}, "schedule.start: found 2024-01-02; on"),
    "longer batches": ({"schedule": {"every": "week", "start": "2024-01-01"}}, "schedule.every: found week; on record"),
    "one more key": ({"rows": TWO_KEYS}, "rows.key: found ['id', 'at']; on record: ['id'],"),
    "another key": ({"rows": TWO_KEYS | {"key": ["at"]}}, "rows.key: found ['at']; on record: ['id'],"),
}
TOKYO = {"cron": "0 9 * * *", "timezone": "Asia/Tokyo"}
NOW = datetime(2024, 1, 9, tzinfo=UTC)
DUE = DueAttempt(f"{day(1)}.0", day(1))
BEGIN_A_RUN = {
    "the sensor": lambda model, at: wait_for_batch(model, at, "2024-01-08", NOW),
    "intake": lambda model, at: ingest_batch(model, at, "2024-01-08"),
    "sealing": lambda model, at: validate_batch(model, at, "2024-01-08"),
    "scoring": lambda model, at: score_batch(model, at, "2024-01-08"),
    "the check": lambda model, at: check_drift(model, at, "2024-01-08"),
    "the runner": lambda model, at: Runner(model, at, sinks=()).run_batch("2024-01-08"),
    "asking": lambda model, at: ask_retraining(model, at, "run", "why"),
    "training": lambda model, at: train_model(model, at, DUE),
    "closing": lambda model, at: close_verdict(model, at, DUE),
    "a rollback": lambda model, at: plan_rollback(model, at, None, "why"),
    "taking in again": lambda model, at: reingest_batch(model, at, "2024-01-08"),
    "status": lambda model, at: list(describe_status(model, at)),
}


@pytest.fixture
def loop(tmp_path):
    """A loop that has taken two days in."""
    loop = SmallLoop.under(tmp_path)
    loop.take(doubled, 1, 2)
    return loop


def identity_file(loop):
    return Path(loop.at.lake, "ledger", loop.at.env, loop.model.id, "identity", "model", "0.json")


def test_it_is_put_on_record_with_the_first_batch(loop):
    identity = loop.stores.ledger.get(IdentityRecord, "model")
    assert (identity.as_of, identity.model, identity.env) == (day(1), "small", "dev")
    assert (identity.every, identity.key) == ("day", ("id",))


@pytest.mark.parametrize("changes", OTHERS)
def test_a_folder_that_names_batches_or_rows_otherwise_is_refused(changes, loop):
    edited, told = OTHERS[changes]
    with pytest.raises(IdentityChanged) as raised:
        list(describe_status(loop.using(**edited).model, loop.at))
    assert str(raised.value).startswith(f"model small, {loop.model.path / 'config.yaml'}: {told}")
    assert "give the folder another name, or the deployment another EVERGREEN_ENV than dev" in str(raised.value)


@pytest.mark.parametrize("begin", BEGIN_A_RUN)
def test_every_step_refuses_before_it_writes(begin, loop):
    before = records(loop.model, loop.at)
    edited, _ = OTHERS["longer batches"]
    with pytest.raises(IdentityChanged):
        BEGIN_A_RUN[begin](loop.using(**edited).model, loop.at)
    assert records(loop.model, loop.at) == before


def test_changed_back_it_goes_on(loop):
    for edited, _ in OTHERS.values():
        with pytest.raises(IdentityChanged):
            Runner(loop.using(**edited).model, loop.at, sinks=()).run_batch("2024-01-08")
    loop.take(doubled, 3)


def test_a_refused_folder_still_tells_its_incidents_and_its_versions(loop):
    edited = loop.using(**OTHERS["longer batches"][0]).model
    assert send_alerts(edited, loop.at, ()).failed == 0
    loop.run(doubled, 3, 4)
    assert "version 1" in next(describe_version(edited, loop.at, 1))


def test_everything_else_may_change(loop):
    columns = {"number": {"type": "integer", "renamed_from": "id"}, "at": "timestamp", "x": "float"}
    other = loop.using(
        schedule={"every": "day", "start": "2024-01-01", "end": "2024-06-01"} | TOKYO,
        rows={"key": ["number"], "event_time": "at", "columns": columns},
        labels={"target": {"z": "float"}},
    )
    list(describe_status(other.model, loop.at))


def test_an_old_name_of_a_key_that_is_dropped_is_missed(loop):
    columns = {"number": "integer", "at": "timestamp", "x": "float"}
    other = loop.using(rows={"key": ["number"], "event_time": "at", "columns": columns})
    with pytest.raises(IdentityChanged, match="a renamed one with its old names under renamed_from"):
        list(describe_status(other.model, loop.at))


def test_a_ledger_that_was_copied_under_another_name_is_refused(loop):
    ledger = Path(loop.at.lake, "ledger")
    shutil.copytree(ledger / "dev", ledger / "prod")
    with pytest.raises(IdentityChanged, match="the ledger of prod/small was written for dev/small"):
        list(describe_status(loop.model, replace(loop.at, env="prod")))


def test_of_two_first_runs_the_slower_one_is_refused(tmp_path):
    loop = SmallLoop.under(tmp_path)
    ledger = Ledger(loop.at.lake, loop.at.env, "small")
    put_identity(loop.model, loop.at, ledger, "rows", day(1))
    with pytest.raises(IdentityChanged, match=r"schedule\.every: found week; on record: day"):
        put_identity(loop.using(**OTHERS["longer batches"][0]).model, loop.at, ledger, "rows", day(1))


@pytest.fixture
def old_loop(loop):
    """The same as version 0.2.0 has left it."""
    identity_file(loop).unlink()
    ledger_module._KEPT.clear()
    return loop


def test_an_older_ledger_gets_its_identity_with_its_next_batch(old_loop):
    old_loop.take(doubled, 3)
    assert json.loads(identity_file(old_loop).read_text())["as_of"] == day(1)


def test_an_older_ledger_tells_where_it_begins(old_loop):
    old_loop.land(3, doubled)
    before = records(old_loop.model, old_loop.at)
    edited, _ = OTHERS["an earlier start"]
    with pytest.raises(IdentityChanged, match=r"schedule\.start: found 2023-12-01, where no batch is on record"):
        ingest_batch(old_loop.using(**edited).model, old_loop.at, day(3))
    assert records(old_loop.model, old_loop.at) == before
    old_loop.take(doubled, 3)
