"""A verdict is closed as it was answered; a run without a judgement fails, and is not tried again within itself."""

import pytest

from airflow_evergreen.operators.close_verdict import CloseVerdictOperator
from evergreen.errors import NotReady, Outage, Refused
from evergreen.judging.attempts import DueAttempt
from evergreen.records import AttemptRecord, ClosingRecord

ATTEMPT = {"verdict": "2024-01-14.0", "as_of": "2024-01-18", "run": 2}


@pytest.fixture
def operator(model):
    return CloseVerdictOperator(task_id="close_verdict", model_id="taxi", attempt=ATTEMPT)


def test_how_it_closed_is_told(operator, step, context_of):
    closing = ClosingRecord(as_of="2024-01-18", verdict="2024-01-14.0", outcome="promoted", why="promotion 2")
    close = step("close_verdict", closing)
    assert operator.execute(context_of()) == {"verdict": "2024-01-14.0", "outcome": "promoted", "why": "promotion 2"}
    assert close.call_args.args[2:] == (DueAttempt("2024-01-14.0", "2024-01-18"), 2)


def test_a_verdict_may_stay_open(operator, step, context_of):
    step("close_verdict", None)
    assert operator.execute(context_of()) == {"verdict": "2024-01-14.0", "outcome": "stays open"}


def test_a_run_without_a_judgement_fails_at_once(operator, step, context_of):
    step("close_verdict", NotReady("attempt has not been judged; run 2 of 3 failed"))
    with pytest.raises(Refused, match="run 2 of 3 failed"):
        operator.execute(context_of())


def test_an_outage_is_left_to_be_tried_again(operator, step, context_of):
    step("close_verdict", Outage("ledger"))
    with pytest.raises(Outage):
        operator.execute(context_of())


def test_a_run_that_won_and_did_not_promote_fails(operator, ledger, context_of):
    won = AttemptRecord(
        as_of="2024-01-18",
        verdict="2024-01-14.0",
        trained_on=("2024-01-01", "2024-01-12"),
        training_rows=900,
        data="d",
        code="c",
        holdout=("2024-01-13",),
        against=0,
        judgement=None,
        outcome="passed",
        why="better",
    )
    ledger.put(won)
    with pytest.raises(Refused, match=r"2024-01-14\.0 is not finished.*run 2 of 3 failed"):
        operator.execute(context_of())
    assert ledger.get(ClosingRecord, "2024-01-14.0") is None


def test_where_nothing_was_asked_there_is_nothing_to_close(model, context_of):
    operator = CloseVerdictOperator(task_id="close_verdict", model_id="taxi", attempt=None)
    with pytest.raises(Refused, match="no attempt to work on; see ask_retraining"):
        operator.execute(context_of(end=None))
