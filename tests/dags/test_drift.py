"""<model>__drift: one check after another, as batches are settled."""

import pytest

from tests.dags.parsing import edges


@pytest.fixture
def dag(taxi):
    return taxi["taxi__drift"]


def test_it_waits_checks_and_tells(dag):
    assert edges(dag) == {"wait_for_scores >> check_drift", "check_drift >> send_alerts"}
    assert dag.get_task("send_alerts").is_teardown
    assert {dag.get_task(name).trigger_rule.value for name in ("wait_for_scores", "check_drift")} == {"all_success"}


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
