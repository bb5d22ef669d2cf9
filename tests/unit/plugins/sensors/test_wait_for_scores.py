"""A check waits for claim and labels, says which is lacking, and does not wait for ever."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import TaskDeferred

from airflow_evergreen.retries import RETRIES
from airflow_evergreen.sensors.wait_for_scores import WaitForScoresSensor
from evergreen.errors import Refused
from evergreen.records import BatchRecord, ClaimRecord, SectionVerdict, VerdictRecord
from evergreen.storage.stores import open_stores

BATCH = "2024-01-02"
LONG_AGO = (datetime.now(UTC) - timedelta(days=2)).isoformat()


@pytest.fixture
def sensor(model):
    return WaitForScoresSensor(task_id="wait_for_scores", model_id="taxi", poke_interval=7)


def claim(ledger, version=None):
    ledger.put(ClaimRecord(as_of=BATCH, revision=0, version=version, promotion=None, why="", data="d", label_cut=None))


def label(ledger, state="published"):
    ledger.put(BatchRecord(as_of=BATCH, feed="labels", revision=0, state=state))


def check(ledger, batch="2024-01-01"):
    ok = SectionVerdict(state="ok", why="")
    sections = dict.fromkeys(("freshness", "inputs", "predictions", "outcomes"), ok)
    asked = {"last_ask": None, "previous_ask": None, "action": "none", "reasons": ()}
    ledger.put(VerdictRecord(as_of=batch, n=0, covers=(batch,), promotion=None, version=None, **sections, **asked))


@pytest.mark.parametrize("state", ["published", "rejected", "missing"])
def test_a_settled_batch_costs_no_trigger(state, sensor, ledger, context_of):
    claim(ledger)
    label(ledger, state)
    check(ledger)
    assert sensor.execute(context_of()) == {"batch": BATCH}


@pytest.mark.parametrize(("done", "lacking"), [(claim, "labels of batch"), (label, "has not been claimed")])
def test_what_is_lacking_is_waited_for_and_then_named(done, lacking, sensor, ledger, context_of):
    done(ledger)
    with pytest.raises(TaskDeferred) as raised:
        sensor.execute(context_of())
    found = raised.value
    assert found.method_name == "resume"
    assert (found.trigger.batch, found.trigger.poll, found.trigger.until) == (BATCH, 7, "scores")
    limit = datetime.fromisoformat(found.trigger.give_up) - datetime.fromisoformat(found.kwargs["started"])
    assert limit == timedelta(days=1, hours=12)
    with pytest.raises(Refused, match=f"taxi: .*{lacking}"):
        sensor.resume(context_of(), {"sizes": None}, LONG_AGO)


def test_a_batch_that_is_being_scored_is_waited_for(sensor, ledger, deployment, context_of):
    """The claim stands before the first row is scored, and many rows take minutes."""
    claim(ledger, version=1)
    label(ledger)
    check(ledger)
    with pytest.raises(TaskDeferred) as raised:
        sensor.execute(context_of())
    assert raised.value.trigger._probe(None) == (False, None)
    with pytest.raises(Refused, match=f"taxi: batch {BATCH} is claimed and not scored yet; see score_batch"):
        sensor.resume(context_of(), {"sizes": None}, LONG_AGO)
    predictions = pa.table({"trip_id": ["a"], "prediction": [1.0]})
    open_stores(deployment, "taxi").lake.replace("predictions", BATCH, 0, predictions, {})
    assert raised.value.trigger._probe(None) == (True, None)
    assert sensor.execute(context_of()) == {"batch": BATCH}


def test_a_batch_that_was_settled_meanwhile_goes_on_though_time_is_over(sensor, ledger, context_of):
    claim(ledger)
    label(ledger)
    assert sensor.resume(context_of(), {"sizes": None}, LONG_AGO) == {"batch": BATCH}


def test_the_check_before_is_waited_for_an_hour(sensor, ledger, context_of):
    claim(ledger)
    label(ledger)
    with pytest.raises(TaskDeferred) as raised:
        sensor.execute(context_of())
    trigger, started = raised.value.trigger, datetime.fromisoformat(raised.value.kwargs["started"])
    assert datetime.fromisoformat(trigger.deadline) - started == timedelta(hours=1)
    for minutes, again in ((59, True), (61, False)):
        begun = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
        with pytest.raises(TaskDeferred) if again else nullcontext():
            assert sensor.resume(context_of(), {"sizes": None}, begun) == {"batch": BATCH}


def test_the_first_batch_has_no_check_before_it(sensor, ledger, context_of):
    ledger.put(
        ClaimRecord(as_of="2024-01-01", revision=0, version=None, promotion=None, why="", data="d", label_cut=None)
    )
    ledger.put(BatchRecord(as_of="2024-01-01", feed="labels", revision=0, state="published"))
    assert sensor.execute(context_of(batch="2024-01-01")) == {"batch": "2024-01-01"}


def test_a_model_without_labels_waits_for_its_claim_alone(write_folder, edit_config, deployment, context_of):
    text = edit_config("labels:\n", "LABELS")
    text = text.partition("LABELS")[0] + "labels: none\n" + text[text.index("features: ") :]
    write_folder("bikes", config=text)
    claim(open_stores(deployment, "bikes").ledger)
    check(open_stores(deployment, "bikes").ledger)
    found = WaitForScoresSensor(task_id="wait_for_scores", model_id="bikes").execute(context_of())
    assert found == {"batch": BATCH}


def test_patience_that_is_over_is_not_tried_again(sensor, context_of):
    with pytest.raises(Refused, match="has not been claimed") as raised:
        sensor.resume(context_of(), {"sizes": None}, LONG_AGO)
    assert RETRIES.evaluate(raised.value, 1, 3).action is RetryAction.FAIL
