"""<model>__batch: rows in a row, labels beside them, alerts last; one run a batch."""

import itertools
from datetime import UTC, datetime

import pendulum
import pytest
from airflow.sdk.exceptions import ParamValidationError
from airflow.timetables.base import TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable

from evergreen.config.contract import ScheduleConfig
from tests.dags.parsing import edges, parse

ROWS = ["wait_for_batch", "ingest_batch", "validate_batch", "score_batch", "send_alerts"]
LABELS = ["wait_for_labels", "ingest_labels", "validate_labels"]


def chain(*tasks):
    return {f"{before} >> {after}" for before, after in itertools.pairwise(tasks)}


@pytest.fixture
def dag(taxi):
    return taxi["taxi__batch"]


def test_rows_go_one_way_and_labels_beside_them(dag):
    assert {task.task_id for task in dag.tasks} == {*ROWS, *LABELS}
    assert edges(dag) == chain(*ROWS) | chain(*LABELS)


def test_views_are_computed_of_the_rows_before_they_are_scored(add_model):
    add_model("trips", features={"views": {"zone_trips": 1}})
    dag = parse("batch.py").dags["trips__batch"]
    assert edges(dag) == chain(*ROWS) | chain(*LABELS) | chain("validate_batch", "compute_views", "score_batch")
    # A batch that was rejected does not stop them.
    assert dag.get_task("compute_views").trigger_rule == "all_done"


def test_a_rejected_batch_is_still_claimed_and_told_of(dag):
    assert dag.get_task("score_batch").trigger_rule == "all_done"
    assert dag.get_task("send_alerts").is_teardown
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}
    assert {rules[name] for name in (*ROWS[:3], *LABELS)} == {"all_success"}


def test_a_failed_alert_fails_no_run(dag):
    assert not dag.get_task("send_alerts").on_failure_fail_dagrun


def test_rows_and_labels_are_taken_by_their_feeds(dag):
    assert {dag.get_task(name).feed for name in ROWS[:3]} == {"rows"}
    assert {dag.get_task(name).feed for name in LABELS} == {"labels"}


def test_it_runs_once_a_batch_from_the_first(dag):
    assert dag.start_date == datetime(2024, 1, 1, tzinfo=UTC)
    assert dag.catchup
    assert dag.timetable.expression == "0 2 * * *"
    assert str(dag.timetable.timezone) == "America/New_York"


def test_a_batch_may_be_given_by_hand(dag):
    param = dag.params.get_param("batch")
    assert param.schema["type"] == ["null", "string"]
    assert param.schema["title"] == "Batch"
    assert "such as 2024-01-01" in param.description
    assert param.value is None


def test_a_model_without_labels_has_no_label_tasks(add_model):
    add_model("bikes", labels="none", retrain={"any": ["never"]})
    dag = parse("batch.py").dags["bikes__batch"]
    assert [task.task_id for task in dag.topological_sort()] == ROWS


def test_rows_go_on_while_many_earlier_batches_wait_for_labels(dag):
    assert dag.max_active_runs == 16


@pytest.mark.parametrize("kind", ["batch", "drift"])
def test_without_a_cron_it_runs_as_batches_end_whatever_the_zone(kind, add_model):
    add_model("bikes", schedule={"every": "day", "start": "2024-01-01", "timezone": "Asia/Tokyo"})
    timetable = parse(f"{kind}.py").dags[f"bikes__{kind}"].timetable
    assert (timetable.expression, str(timetable.timezone)) == ("0 0 * * *", "UTC")


@pytest.mark.parametrize(
    ("every", "pattern", "fires"),
    [
        ("minute", "%Y-%m-%dT%H%M", "* * * * *"),
        ("hour", "%Y-%m-%dT%H", "0 * * * *"),
        ("day", "%Y-%m-%d", "0 0 * * *"),
        ("week", "%Y-%m-%d", "0 0 * * 1"),
        ("month", "%Y-%m", "0 0 1 * *"),
    ],
)
def test_batches_of_every_length_have_a_schedule(every, pattern, fires, add_model):
    add_model(
        "bikes",
        schedule={"every": every, "start": "2024-01-01"},
        source={"files": f"b_{{batch:{pattern}}}.csv", "complete": {"count": 1}},
        labels="none",
        retrain={"any": ["never"]},
    )
    bag = parse("batch.py")
    assert bag.import_errors == {}
    assert bag.dags["bikes__batch"].timetable.expression == fires


def ends(schedule, days):
    """When Airflow's runs of a schedule end, for some days from its start."""
    timetable = CronDataIntervalTimetable(schedule.fires, timezone=pendulum.timezone(schedule.zone))
    latest = schedule.last_moment and pendulum.instance(schedule.last_moment)
    restriction = TimeRestriction(pendulum.instance(schedule.start), latest, True)
    interval = None
    while True:
        info = timetable.next_dagrun_info(last_automated_data_interval=interval, restriction=restriction)
        if info is None:
            return
        interval = info.data_interval
        if interval.end > pendulum.instance(schedule.start).add(days=days):
            return
        yield datetime.fromtimestamp(interval.end.timestamp(), UTC)


@pytest.mark.parametrize(
    ("every", "start", "cron", "zone", "days"),
    [
        ("minute", "2024-03-10T06:00", None, "America/New_York", 0.2),
        ("minute", "2024-11-03T04:00", None, "America/New_York", 0.2),
        ("hour", "2024-03-08", None, "America/New_York", 4),
        ("hour", "2024-11-01", None, "America/New_York", 4),
        ("hour", "2024-01-01", "20 * * * *", "Asia/Kolkata", 3),
        ("day", "2024-01-01", "0 2 * * *", "America/New_York", 370),
        ("day", "2024-02-01", "30 1 * * *", "America/New_York", 370),
        ("day", "2024-01-01", None, "Asia/Tokyo", 40),
        ("week", "2024-01-03", None, "Asia/Tokyo", 100),
        ("month", "2024-01-01", None, "America/New_York", 400),
    ],
)
def test_each_run_of_airflows_is_for_the_next_batch_over_all_changes_of_clocks(every, start, cron, zone, days):
    given = {"every": every, "start": start, "timezone": zone}
    schedule = ScheduleConfig.model_validate(given | ({"cron": cron} if cron else {}))
    found = [schedule.calendar.index(schedule.last_ended(end)) for end in ends(schedule, days)]
    assert len(found) >= 3
    assert found == list(range(len(found)))


@pytest.mark.parametrize(
    ("cron", "zone"), [(None, "UTC"), ("0 2 * * *", "America/New_York"), ("0 9 * * *", "Asia/Tokyo")]
)
def test_the_last_run_of_airflows_is_for_the_last_batch(cron, zone):
    given = {"every": "day", "start": "2024-01-01", "end": "2024-01-04", "cron": cron, "timezone": zone}
    schedule = ScheduleConfig.model_validate(given)
    found = [schedule.last_ended(end) for end in ends(schedule, 20)]
    assert found == ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]


def test_runs_end_where_the_model_says(add_model):
    add_model("bikes", schedule={"every": "day", "start": "2024-01-01", "end": "2024-02-01"})
    add_model("taxi", schedule={"every": "day", "start": "2024-01-01"})
    for kind in ("batch", "drift"):
        dags = parse(f"{kind}.py").dags
        assert dags[f"bikes__{kind}"].end_date == datetime(2024, 2, 1, 23, 59, 59, tzinfo=UTC)
        assert dags[f"taxi__{kind}"].end_date is None


@pytest.mark.parametrize("slip", ["2024-1-31", "2024-01-32", "31.01.2024", "2024-01-31T05", "yesterday"])
def test_a_slip_in_the_batch_is_refused_by_the_form(dag, slip):
    dag.params["batch"] = "2024-01-31"
    dag.params.validate()
    with pytest.raises(ParamValidationError):
        dag.params["batch"] = slip
