"""<model>__drift: one check after another, as batches are settled."""

import pytest

from tests.dags.parsing import edges, parse


@pytest.fixture
def dag(taxi):
    return taxi["taxi__drift"]


def test_it_waits_checks_and_tells(dag):
    assert edges(dag) == {"wait_for_scores >> check_drift", "check_drift >> send_alerts"}
    assert dag.get_task("send_alerts").is_teardown
    assert {dag.get_task(name).trigger_rule.value for name in ("wait_for_scores", "check_drift")} == {"all_success"}


def test_what_has_an_age_is_removed_after_the_check_even_between_two(add_model):
    add_model("bikes", retention={"raw": "90 days"}, check={"every": 7})
    dag = parse("drift.py").dags["bikes__drift"]
    assert {"check_drift >> apply_retention", "apply_retention >> send_alerts"} <= edges(dag)
    assert dag.get_task("apply_retention").trigger_rule.value == "none_failed"


def test_an_old_check_can_be_cleared_while_later_ones_wait(dag):
    assert dag.max_active_runs == 16


def test_it_keeps_the_batches_own_time(dag, taxi):
    batch = taxi["taxi__batch"]
    assert dag.timetable == batch.timetable
    assert (dag.start_date, dag.catchup) == (batch.start_date, True)


def test_a_batch_may_be_given_by_hand(dag):
    param = dag.params.get_param("batch")
    assert param.schema["type"] == ["null", "string"]
    assert "such as 2024-01-01" in param.description


def test_answers_and_a_challenger_have_their_tasks_where_config_says_so(add_model):
    add_model("kept", serving={"answers": True})
    add_model("tried", serving={"canary": {}})
    dags = parse().dags
    asked = {"wait_for_scores >> check_drift", "check_drift >> send_alerts"}
    kept = asked | {"wait_for_scores >> ingest_answers", "ingest_answers >> send_alerts"}
    assert edges(dags["kept__drift"]) == kept
    assert edges(dags["tried__drift"]) == kept | {"ingest_answers >> judge_arms", "judge_arms >> send_alerts"}
