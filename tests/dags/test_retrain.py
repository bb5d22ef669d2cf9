"""<model>__retrain: from the asking to the closing, one at a time, the heavy part where the model says."""

import itertools

import pytest
from airflow.sdk.exceptions import ParamValidationError

from tests.dags.parsing import edges, parse

LINE = [
    "ask_retraining", "train_model", "judge_model", "approve_model", "register_model", "promote_model",
    "close_verdict", "send_alerts",
]  # fmt: skip
HEAVY = {"train_model", "judge_model", "register_model"}


@pytest.fixture
def dag(taxi):
    return taxi["taxi__retrain"]


def test_the_way_is_a_line(dag):
    assert [task.task_id for task in dag.topological_sort()] == LINE
    line = {f"{before} >> {after}" for before, after in itertools.pairwise(LINE)}
    assert line <= edges(dag)


def test_what_is_not_on_the_line_hands_a_result_on(dag):
    line = {f"{before} >> {after}" for before, after in itertools.pairwise(LINE)}
    assert {arrow.partition(" >> ")[0] for arrow in edges(dag) - line} <= {"ask_retraining", "register_model"}


def test_a_verdict_is_closed_whatever_became_of_the_attempt(dag):
    assert dag.get_task("close_verdict").trigger_rule == "all_done"
    assert dag.get_task("send_alerts").is_teardown
    assert {dag.get_task(name).trigger_rule.value for name in LINE[:6]} == {"all_success"}


def test_nothing_but_the_watch_or_a_person_begins_it_and_one_at_a_time(dag):
    assert not dag.timetable.can_be_scheduled
    assert dag.max_active_runs == 1


def test_the_form_says_what_each_param_is_for(dag):
    assert list(dag.params) == ["why", "verdict", "as_of", "run"]
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.schema["title"], name
        assert len(param.description) > 10, name
        assert param.schema["type"], name
    by_hand = [name for name in dag.params if "watch" not in dag.params.get_param(name).schema.get("section", "")]
    assert by_hand == ["why"]


def test_the_form_may_be_sent_empty(dag):
    dag.params.validate()


@pytest.mark.parametrize(
    ("param", "sound", "slip"), [("as_of", "2024-01-31", "2024-1-31"), ("verdict", "2024-01-31.10", "2024-01-31")]
)
def test_a_slip_in_what_the_watch_fills_in_is_refused_by_the_form(dag, param, sound, slip):
    dag.params[param] = sound
    with pytest.raises(ParamValidationError):
        dag.params[param] = slip


def test_by_itself_all_runs_in_the_default_place(dag):
    assert {(task.executor, task.queue, task.pool) for task in dag.tasks} == {(None, "default", "default_pool")}


def test_only_what_is_heavy_runs_where_the_model_says(add_model):
    place = {"executor": "LocalExecutor", "queue": "gpu", "pool": "training"}
    add_model("bikes", tasks={"heavy": place})
    bag = parse()
    assert bag.import_errors == {}
    placed = {
        f"{dag.dag_id}.{task.task_id}"
        for dag in bag.dags.values()
        for task in dag.tasks
        if "training" in (task.pool, task.queue) or "gpu" in (task.pool, task.queue) or task.executor
    }
    assert placed == {*(f"bikes__retrain.{name}" for name in HEAVY), "bikes__reproduce.reproduce_model"}
    for name in HEAVY:
        task = bag.dags["bikes__retrain"].get_task(name)
        assert (task.executor, task.queue, task.pool) == ("LocalExecutor", "gpu", "training")


def test_an_executor_that_is_not_there_harms_no_other_model(add_model):
    add_model("bikes", tasks={"heavy": {"executor": "MoonExecutor"}})
    add_model("taxi")
    bag = parse()
    assert "MoonExecutor" in str(bag.import_errors)
    assert len(bag.dags["taxi__retrain"].tasks) == len(LINE)
    assert {"bikes__batch", "bikes__drift"} <= set(bag.dags)
