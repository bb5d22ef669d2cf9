"""A sensor probes once, then leaves its slot; what is there, missing, or too early is told apart."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import TaskDeferred

from airflow_evergreen.retries import RETRIES
from airflow_evergreen.sensors.wait_for_batch import WaitForBatchSensor
from evergreen.errors import BatchMissing, IdentityChanged, Refused
from evergreen.incidents import last_incident
from evergreen.records import ArrivalRecord, BatchRecord
from evergreen.storage.identity import put_identity
from evergreen.storage.stores import open_stores

TODAY = datetime.now(UTC).strftime("%Y-%m-%d")
FOREVER = ("wait: 6h", "wait: forever")


@pytest.fixture
def landing(deployment):
    """Let a file arrive for the model taxi."""
    folder = Path(deployment.landing) / "taxi"

    def land(name, content="id\n1\n"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)

    return land


def sensor(**options):
    return WaitForBatchSensor(task_id="wait_for_batch", **{"model_id": "taxi", **options})


def deferred(task, context):
    """The deferral that the first probe ends in."""
    with pytest.raises(TaskDeferred) as raised:
        task.execute(context)
    return raised.value


def seal(ledger, batch, feed="rows"):
    ledger.put(BatchRecord(as_of=batch, feed=feed, revision=0, state="published"))


def test_a_batch_that_is_there_costs_no_trigger(model, landing, context_of):
    landing("trips_2024-01-01.csv")
    landing("trips_2024-01-01.done")
    found = sensor().execute(context_of(batch="2024-01-01"))
    assert found == {"batch": "2024-01-01", "seen": "1 files, marker trips_2024-01-01.done"}


def test_a_batch_that_was_taken_in_needs_no_files(model, ledger, context_of):
    ledger.put(ArrivalRecord(as_of="2024-01-01", feed="rows", revision=0, files=()))
    assert sensor().execute(context_of(batch="2024-01-01"))["seen"] == "already ingested"


def test_a_folder_that_names_batches_otherwise_is_refused_without_a_retry(model, deployment, context_of, edit_config):
    put_identity(model, deployment, open_stores(deployment, "taxi").ledger, "rows", "2024-01-01")
    for start in ("2023-01-01", "2024-03-01"):
        (model.path / "config.yaml").write_text(edit_config("start: 2024-01-01", f"start: {start}"))
        # Also where the interval of a run that is cleared lies before the start by now.
        for run in (context_of(batch=start), context_of(end=datetime(2024, 2, 1, tzinfo=UTC))):
            with pytest.raises(
                IdentityChanged, match=f"schedule.start: found {start}; on record: 2024-01-01"
            ) as raised:
                sensor().execute(run)
            assert RETRIES.evaluate(raised.value, 1, 3).action is RetryAction.FAIL


def test_a_batch_that_is_not_there_is_left_to_the_trigger(write_folder, edit_config, landing, context_of):
    write_folder(config=edit_config(*FOREVER))
    landing("trips_2024-01-01.csv")
    found = deferred(sensor(poke_interval=7), context_of(batch="2024-01-01"))
    path, arguments = found.trigger.serialize()
    assert path == "airflow_evergreen.triggers.batch.BatchTrigger"
    assert {name: value for name, value in arguments.items() if value is not None} == {
        "batch": "2024-01-01",
        "poll": 7,
        "model_id": "taxi",
        "until": "rows",
    }
    assert (found.method_name, list(found.kwargs), found.timeout) == ("resume", ["started"], None)


def test_labels_are_waited_for_by_their_own_rules(write_folder, edit_config, landing, context_of):
    write_folder(config=edit_config("wait: 12h", "wait: forever"))
    landing("trips_2024-01-01.csv")
    landing("trips_2024-01-01.done")
    assert deferred(sensor(feed="labels"), context_of(batch="2024-01-01")).trigger.until == "labels"


def test_a_batch_that_did_not_come_in_its_time_is_declared_missing(model, ledger, context_of):
    with pytest.raises(BatchMissing, match=r"taxi: rows of batch 2024-01-01 .*no file fits.*Deliver the files"):
        sensor().execute(context_of(batch="2024-01-01"))
    assert ledger.get(BatchRecord, "rows.2024-01-01").state == "missing"
    assert last_incident(ledger, "stale-rows").opened.as_of == "2024-01-01"
    with pytest.raises(BatchMissing, match="already missing"):
        sensor().execute(context_of(batch="2024-01-01"))


def test_a_later_batch_goes_on_after_a_missing_one(model, landing, context_of):
    with pytest.raises(BatchMissing):
        sensor().execute(context_of(batch="2024-01-01"))
    landing("trips_2024-01-02.csv")
    landing("trips_2024-01-02.done")
    assert sensor().execute(context_of(batch="2024-01-02"))["batch"] == "2024-01-02"


def test_before_its_time_is_over_a_batch_is_waited_for(write_folder, edit_config, context_of):
    write_folder(config=edit_config("start: 2024-01-01", f"start: {TODAY}"))
    assert deferred(sensor(), context_of(batch=TODAY)).trigger.batch == TODAY


def test_an_earlier_batch_is_waited_for_until_patience_ends(model, ledger, landing, context_of):
    landing("trips_2024-01-02.csv")
    landing("trips_2024-01-02.done")
    context = context_of(batch="2024-01-02")
    found = deferred(sensor(), context)
    started = datetime.fromisoformat(found.kwargs["started"])
    assert datetime.fromisoformat(found.trigger.give_up) - started == timedelta(days=1, hours=12)
    assert abs(datetime.now(UTC) - started) < timedelta(minutes=1)

    long_ago = (started - timedelta(days=2)).isoformat()
    with pytest.raises(Refused, match="rows of batch 2024-01-01 are not sealed"):
        sensor().resume(context, {"sizes": None}, long_ago)
    seal(ledger, "2024-01-01")
    assert sensor().resume(context, {"sizes": None}, long_ago)["batch"] == "2024-01-02"


def test_patience_that_is_over_is_not_tried_again(model, context_of):
    long_ago = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    with pytest.raises(Refused, match="are not sealed") as raised:
        sensor().resume(context_of(batch="2024-01-02"), {"sizes": None}, long_ago)
    assert RETRIES.evaluate(raised.value, 1, 3).action is RetryAction.FAIL


def test_without_an_end_an_earlier_batch_is_waited_for_ever(write_folder, edit_config, context_of):
    write_folder(config=edit_config(*FOREVER))
    found = deferred(sensor(), context_of(batch="2024-01-02"))
    assert found.trigger.give_up is None
    with pytest.raises(TaskDeferred):
        sensor().resume(context_of(batch="2024-01-02"), {"sizes": None}, "2020-01-01T00:00:00+00:00")


@pytest.fixture
def stable(write_folder, edit_config, landing):
    """A model whose files are complete when their sizes stay the same, with one of them there."""
    write_folder(
        config=edit_config('  complete: {marker: "trips_{batch:%Y-%m-%d}.done"}\n  wait: 6h', "  wait: forever")
    )
    landing("trips_2024-01-01.csv", "12345")


def test_sizes_that_the_trigger_saw_twice_are_complete(stable, context_of):
    context = context_of(batch="2024-01-01")
    started = deferred(sensor(), context).kwargs["started"]
    found = sensor().resume(context, {"sizes": [["trips_2024-01-01.csv", 5]]}, started)
    assert found == {"batch": "2024-01-01", "seen": "1 files, sizes unchanged"}


@pytest.mark.parametrize("sizes", [[["trips_2024-01-01.csv", 4]], [], None])
def test_sizes_that_have_changed_since_are_waited_for_again(sizes, stable, context_of):
    with pytest.raises(TaskDeferred) as again:
        sensor().resume(context_of(batch="2024-01-01"), {"sizes": sizes}, "2024-01-02T00:00:00+00:00")
    assert again.value.kwargs == {"started": "2024-01-02T00:00:00+00:00"}


def test_a_feed_that_is_none_is_refused_with_those_that_are(model, context_of):
    with pytest.raises(Refused, match=r"feed: found 'label'; valid: rows, labels"):
        sensor(feed="label").execute(context_of(batch="2024-01-01"))


def test_who_only_waits_imports_no_library_of_the_steps():
    """Where each task is a process or a pod of its own, these imports take seconds of every night."""
    heavy = "{'great_expectations', 'mlflow', 'sklearn', 'scipy', 'pandas', 'pyarrow', 'deltalake'}"
    program = f"import evergreen.steps.wait_for_batch, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
