"""Files and queries that no model folder knows of: there, waited for, or overdue; what is mistyped is refused."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import TaskDeferred

from airflow_evergreen.retries import RETRIES
from airflow_evergreen.sensors.wait_for_source import WaitForSourceSensor
from evergreen.errors import BatchMissing, ConfigInvalid

NOW = datetime.now(UTC)
TODAY = NOW.strftime("%Y-%m-%d")


def deferred(task, context):
    """The deferral that the first probe ends in."""
    with pytest.raises(TaskDeferred) as raised:
        task.execute(context)
    return raised.value


def outside(tmp_path, **options):
    """A sensor for files in a folder."""
    (tmp_path / "in").mkdir(exist_ok=True)
    given = {"batch": TODAY, "location": str(tmp_path / "in"), "files": "rows_{batch:%Y-%m-%d}*.csv", **options}
    return WaitForSourceSensor(task_id="wait", **given)


def test_files_are_complete_by_a_count(tmp_path, context_of):
    task = outside(tmp_path, complete={"count": 1})
    (tmp_path / "in" / f"rows_{TODAY}.csv").write_text("x")
    assert task.execute(context_of()) == {"batch": TODAY, "seen": "1 of 1 files"}


def test_files_are_left_to_the_trigger(tmp_path, context_of):
    task = outside(tmp_path, complete={"count": 2}, conn_id="lake", every="day", wait=timedelta(hours=2))
    trigger = deferred(task, context_of()).trigger
    midnight = datetime.fromisoformat(TODAY).replace(tzinfo=UTC)
    _, arguments = trigger.serialize()
    assert json.loads(json.dumps(arguments)) == {
        "batch": TODAY,
        "poll": 30,
        "model_id": None,
        "until": "rows",
        "source": {
            "location": str(tmp_path / "in"),
            "files": "rows_{batch:%Y-%m-%d}*.csv",
            "complete": {"count": 2},
            "conn_id": "lake",
            "sql": None,
        },
        "calendar": ["day", midnight.isoformat()],
        "deadline": (midnight + timedelta(days=1, hours=2)).isoformat(),
        "give_up": None,
    }


def test_files_are_stable_when_seen_twice(tmp_path, context_of):
    task = outside(tmp_path)
    (tmp_path / "in" / f"rows_{TODAY}.csv").write_text("x")
    started = deferred(task, context_of()).kwargs["started"]
    assert task.resume(context_of(), {"sizes": [[f"rows_{TODAY}.csv", 1]]}, started)["seen"].endswith("unchanged")


def test_past_its_time_a_batch_fails(tmp_path, context_of):
    task = outside(tmp_path, batch="2024-01-31", wait=timedelta(hours=2))
    with pytest.raises(BatchMissing, match=r"task wait: batch 2024-01-31 .*until 2024-02-01 02:00.*no file fits"):
        task.execute(context_of())


@pytest.mark.parametrize(
    ("every", "batch", "end"),
    [
        ("minute", "2024-01-31T0530", "2024-01-31 05:31"),
        ("hour", "2024-01-31T05", "2024-01-31 06:00"),
        ("week", "2024-01-31", "2024-02-07 00:00"),
        ("month", "2024-01-01", "2024-02-01 00:00"),
    ],
)
def test_a_batch_has_the_length_that_is_said(every, batch, end, tmp_path, context_of):
    files = "rows_{batch:%Y-%m-%dT%H%M}.csv"
    task = outside(tmp_path, batch=batch, every=every, files=files, wait=timedelta(0))
    with pytest.raises(BatchMissing, match=f"batch {batch} did not come until {end}"):
        task.execute(context_of())


@pytest.mark.parametrize(
    ("options", "valid"),
    [
        ({"batch": TODAY}, "batch with one of location and sql"),
        ({"batch": "", "location": "/in", "files": "x_{batch:%Y-%m-%d}"}, "batch with one of"),
        ({"batch": "", "sql": "select 1", "conn_id": "c"}, "batch with one of"),
        ({"batch": TODAY, "location": "/in", "files": "x", "sql": "select 1"}, "one of location and sql"),
        ({"batch": TODAY, "location": "/in"}, "location with files"),
        ({"batch": TODAY, "sql": "select 1"}, "sql with conn_id"),
    ],
)
def test_arguments_that_do_not_fit_are_answered_with_those_that_do(options, valid, context_of):
    task = WaitForSourceSensor(task_id="wait", **options)
    with pytest.raises(ConfigInvalid, match=f"task wait: valid: .*{valid}"):
        task.execute(context_of())


@pytest.mark.parametrize(
    ("options", "valid"),
    [
        ({"every": "fortnight"}, "every: found 'fortnight'; valid: one of minute, hour, day, week, month"),
        ({"files": "rows.csv"}, r"files: found 'rows\.csv'.*{batch:"),
        ({"complete": {"markr": "x"}}, r"complete\.markr: unknown field; did you mean marker\?"),
        ({"complete": {"count": 0}}, r"complete\.count: found 0; valid: greater than 0"),
        ({"batch": "yesterday"}, "batch: found 'yesterday'; valid: a day named such as 2024-01-31$"),
        ({"every": "month", "batch": "2024-01-31"}, "found '2024-01-31'; valid: a month named such as 2024-01-01$"),
        ({"every": "month", "batch": "2024-01"}, "found '2024-01'; valid: a month named such as 2024-01-01$"),
        ({"every": "hour", "batch": "2024-01-31"}, "valid: a hour named such as 2024-01-31T05$"),
        ({"batch": "2024-01-31T02:00:00+00:00"}, "valid: a day named such as 2024-01-31$"),
    ],
    ids=["every", "files", "complete", "count", "batch", "not the 1st", "no day", "no hour", "a moment"],
)
def test_values_that_do_not_fit_are_refused_with_what_is_valid(options, valid, tmp_path, context_of):
    with pytest.raises(ConfigInvalid, match=f"^task wait: .*{valid}") as raised:
        outside(tmp_path, **options).execute(context_of())
    assert RETRIES.evaluate(raised.value, 1, 3).action is RetryAction.FAIL


def test_a_batch_may_be_waited_for_ever(tmp_path, context_of):
    trigger = deferred(outside(tmp_path, wait=timedelta.max), context_of()).trigger
    assert datetime.fromisoformat(trigger.deadline) > NOW + timedelta(days=365 * 200)


def test_a_query_decides_too(database, context_of):
    sql = f"select done from loads where day = '{TODAY}'"
    task = WaitForSourceSensor(task_id="wait", batch=TODAY, sql=sql, conn_id="warehouse", poke_interval=7)
    trigger = deferred(task, context_of()).trigger
    assert (trigger.source["sql"], trigger.source["conn_id"], trigger.poll) == (sql, "warehouse", 7)
    database(f"insert into loads values ('{TODAY}', 1)")
    assert task.execute(context_of())["seen"].endswith("first value 1")
