"""A run finds its attempt: in its Params if the watch began it, else by asking in its person's name."""

from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from airflow_evergreen.operators.ask_retraining import AskRetrainingOperator
from airflow_evergreen.operators.close_verdict import CloseVerdictOperator
from airflow_evergreen.operators.train_model import TrainModelOperator
from evergreen.errors import Refused
from evergreen.incidents import last_incident, report
from evergreen.judging.attempts import DueAttempt
from evergreen.steps.ask_retraining import AskResult

PARAMS = {"verdict": "2024-01-14.0", "as_of": "2024-01-18", "run": 3, "why": ""}
ASKED = AskResult("2024-01-14.1", "2024-01-18", DueAttempt("2024-01-14.1", "2024-01-18"))
EMPTY = {"verdict": None, "as_of": None, "run": None}


@pytest.fixture
def operator(model):
    return AskRetrainingOperator(task_id="ask_retraining", model_id="taxi", why="holidays are over")


def test_the_watch_has_said_it_all(operator, step, context_of):
    ask = step("ask_retraining")
    found = operator.execute(context_of(end=None, **PARAMS))
    assert found == {"verdict": "2024-01-14.0", "as_of": "2024-01-18", "run": 3}
    ask.assert_not_called()


def test_a_person_asks_under_the_runs_name_and_their_own(operator, step, context_of):
    ask = step("ask_retraining", ASKED)
    found = operator.execute(context_of(end=None, **EMPTY))
    assert found == {"verdict": "2024-01-14.1", "as_of": "2024-01-18", "run": 1}
    assert ask.call_args.args[2:] == ("scheduled__1", "ada: holidays are over")


def test_a_run_of_nobody_is_asked_for_by_somebody(operator, step, context_of):
    ask = step("ask_retraining", ASKED)
    operator.execute({**context_of(end=None, **EMPTY), "dag_run": SimpleNamespace(run_id="manual__1")})
    assert ask.call_args.args[2:] == ("manual__1", "somebody: holidays are over")


def test_why_is_the_runs_param_unless_it_is_said_otherwise():
    assert AskRetrainingOperator(task_id="task", model_id="taxi").why == "{{ params.why }}"


def test_a_retraining_that_begins_is_paused_no_longer(operator, ledger, step, context_of):
    report(ledger, "paused", "2024-01-18", "taxi__retrain is paused")
    operator.execute(context_of(**PARAMS))
    assert "the attempt of verdict 2024-01-14.0 has started" in last_incident(ledger, "paused").resolved.text


def test_a_wish_that_has_to_wait_for_labels_is_said_and_the_tasks_after_it_are_skipped(operator, step, context_of):
    step("ask_retraining", AskResult("2024-01-14.1", "2024-01-18", None, "The watch starts it then"))
    found = operator.execute(context_of(**EMPTY))
    assert (found["verdict"], found["as_of"]) == ("2024-01-14.1", "2024-01-18")
    for after in (TrainModelOperator, CloseVerdictOperator):
        with pytest.raises(AirflowSkipException, match="The watch starts it then"):
            after(task_id="after", model_id="taxi", attempt=found).execute(context_of(end=None))


@pytest.mark.parametrize("left_out", ["verdict", "as_of", "run"])
def test_params_filled_in_by_half_are_refused(left_out, operator, step, context_of):
    ask = step("ask_retraining")
    with pytest.raises(Refused, match=rf"taxi: found Params .*None.*valid: .*{left_out}"):
        operator.execute(context_of(**{**PARAMS, left_out: None}))
    ask.assert_not_called()
