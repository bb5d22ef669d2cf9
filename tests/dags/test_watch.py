"""evergreen__watch: one run waits for all models, and starts a run for each attempt that is due."""

import pytest

from tests.dags.parsing import edges, parse


@pytest.fixture
def dag(taxi):
    return taxi["evergreen__watch"]


def test_it_waits_and_hands_over(dag):
    assert edges(dag) == {"wait_for_verdict >> start_retraining"}
    assert dag.get_task("start_retraining").is_mapped
    assert dag.get_task("wait_for_verdict").start_from_trigger


def test_one_run_after_another_waits_without_end(dag):
    assert dag.schedule == "@continuous"
    assert dag.max_active_runs == 1
    assert not dag.catchup


def test_a_deferral_that_failed_is_tried_again(dag):
    assert dag.get_task("wait_for_verdict").retries >= 3


def test_a_run_that_is_there_already_is_no_failure(dag):
    assert dag.get_task("start_retraining").partial_kwargs["skip_when_already_exists"] is True


@pytest.mark.parametrize(("polls", "shortest"), [([], 30), (["10m", "20s"], 20), (["5s", "1m"], 5)])
def test_it_looks_as_often_as_any_model_asks(polls, shortest, add_model):
    for number, poll in enumerate(polls):
        add_model(f"m{number}", tasks={"poll": poll})
    sensor = parse("watch.py").dags["evergreen__watch"].get_task("wait_for_verdict")
    assert sensor.start_trigger_args.trigger_kwargs == {"poll": shortest}


def test_a_broken_folder_is_no_trouble_for_it(add_model):
    (add_model("bikes") / "config.yaml").write_text("title: [")
    bag = parse("watch.py")
    assert bag.import_errors == {}
    assert list(bag.dags) == ["evergreen__watch"]
