"""Training, judging, registering, promoting: each hands ids and numbers to the next."""

import json
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from airflow_evergreen.operators.judge_model import JudgeModelOperator
from airflow_evergreen.operators.promote_model import PromoteModelOperator
from airflow_evergreen.operators.register_model import RegisterModelOperator
from airflow_evergreen.operators.train_model import TrainModelOperator
from evergreen.errors import ApprovalMissing
from evergreen.judging.attempts import DueAttempt, TrainResult
from evergreen.records import AttemptRecord, Judgement, PromotionRecord
from evergreen.steps.register_model import RegisterResult
from evergreen.storage.model_store import ModelStore

ATTEMPT = {"verdict": "2024-01-14.0", "as_of": "2024-01-18", "run": 1}
DUE = DueAttempt("2024-01-14.0", "2024-01-18")


@pytest.fixture
def pages(monkeypatch):
    """MLflow's pages, without an MLflow."""
    monkeypatch.setattr(ModelStore, "__init__", lambda self, *_: None)
    monkeypatch.setattr(ModelStore, "run_path", lambda self, run: f"#/runs/{run}")
    shown = SimpleNamespace(version_path=lambda version: f"#/versions/{version}")
    monkeypatch.setattr(ModelStore, "pages", shown, raising=False)
    connection = {"conn_type": "mlflow", "host": "mlflow", "extra": json.dumps({"ui": "http://people"})}
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps(connection))


def handed_over(value):
    """What the next task gets: XCom is JSON."""
    return json.loads(json.dumps(value))


def test_a_trained_challenger_is_told_with_its_page(model, step, context_of, pages):
    train = step("train_model", TrainResult("abc", ("2024-01-01", "2024-01-12"), 900))
    found = TrainModelOperator(task_id="train_model", model_id="taxi", attempt=ATTEMPT).execute(context_of())
    assert handed_over(found) == {
        "run": "abc",
        "trained_on": ["2024-01-01", "2024-01-12"],
        "rows": 900,
        "why": "",
        "fault": False,
        "window": "",
        "tried": {},
        "seconds": 0.0,
        "refresh": False,
        "searched": None,
        "baseline": False,
        "page": "http://people/#/runs/abc",
    }
    assert train.call_args.args[2] == DUE


def test_no_challenger_has_no_page(model, step, context_of):
    step("train_model", TrainResult(None, ("2024-01-01", "2024-01-12"), 3, "3 labelled rows"))
    found = TrainModelOperator(task_id="train_model", model_id="taxi", attempt=ATTEMPT).execute(context_of())
    assert (found["run"], found["page"], found["why"]) == (None, "", "3 labelled rows")


def judged(outcome, judgement):
    return AttemptRecord(
        as_of="2024-01-18",
        verdict="2024-01-14.0",
        trained_on=("2024-01-01", "2024-01-12"),
        training_rows=900,
        data="d",
        code="c",
        holdout=("2024-01-13",),
        against=1,
        judgement=judgement,
        outcome=outcome,
        why="better by 12 %",
    )


@pytest.mark.parametrize("run", ["abc", None])
def test_a_challenger_is_judged_as_it_was_trained(run, model, step, context_of):
    result = TrainResult(run, ("2024-01-01", "2024-01-12"), 900, "" if run else "too few")
    judge = step("judge_model", judged("refused", None))
    trained = handed_over({**vars(result), "page": ""})
    operator = JudgeModelOperator(task_id="judge_model", model_id="taxi", attempt=ATTEMPT, trained=trained)
    assert operator.execute(context_of()) == {
        "attempt": "2024-01-14.0",
        "outcome": "refused",
        "why": "better by 12 %",
    }
    assert judge.call_args.args[2:] == (DUE, result)


def test_a_judgement_is_told_in_its_numbers(model, step, context_of):
    numbers = {"metric": "mae", "champion": 5.0, "challenger": 4.4, "expected": 0.11, "worse": 0.02}
    numbers |= {"rows": 400, "improvement": 0.12, "lower": 0.03, "upper": 0.21}
    judgement = Judgement(against="promotion 1", blocks=4, **numbers)
    step("judge_model", judged("passed", judgement))
    trained = {
        "run": "abc",
        "trained_on": ["2024-01-01", "2024-01-12"],
        "rows": 900,
        "why": "",
        "fault": False,
        "page": "http://people/#/runs/abc",
    }
    operator = JudgeModelOperator(task_id="judge_model", model_id="taxi", attempt=ATTEMPT, trained=trained)
    assert handed_over(operator.execute(context_of())) == {
        "attempt": "2024-01-14.0",
        "outcome": "passed",
        "why": "better by 12 %",
        **numbers,
        "page": "http://people/#/runs/abc",
    }


def test_a_version_is_told_with_its_page(model, step, context_of, pages):
    register = step("register_model", RegisterResult(3))
    operator = RegisterModelOperator(task_id="register_model", model_id="taxi", attempt=ATTEMPT)
    assert operator.execute(context_of()) == {"version": 3, "page": "http://people/#/versions/3"}
    assert register.call_args.args[2] == DUE


def test_a_refused_challenger_is_not_registered_and_that_is_no_failure(model, step, context_of):
    step("register_model", ApprovalMissing("attempt 2024-01-14.0 was refused"))
    operator = RegisterModelOperator(task_id="register_model", model_id="taxi", attempt=ATTEMPT)
    with pytest.raises(AirflowSkipException, match=r"2024-01-14\.0 was refused"):
        operator.execute(context_of())


def test_what_could_not_be_fitted_again_is_not_registered(model, step, context_of):
    step("register_model", RegisterResult(None))
    operator = RegisterModelOperator(task_id="register_model", model_id="taxi", attempt=ATTEMPT)
    with pytest.raises(AirflowSkipException, match="could not be fitted again; see the incident"):
        operator.execute(context_of())


@pytest.mark.parametrize("version", [3, "3"])
def test_the_promotion_that_stands_is_told(version, model, step, context_of):
    standing = PromotionRecord(
        as_of="2024-01-18",
        number=2,
        version=3,
        attempt="2024-01-14.0",
        code="c",
        data="d",
        trained_on=("2024-01-01", "2024-01-12"),
        effective_from="2024-01-19",
        error=None,
    )
    promote = step("promote_model", standing)
    operator = PromoteModelOperator(
        task_id="promote_model", model_id="taxi", attempt=ATTEMPT, registered={"version": version, "page": ""}
    )
    assert operator.execute(context_of()) == {
        "promotion": 2,
        "version": 3,
        "attempt": "2024-01-14.0",
        "effective_from": "2024-01-19",
    }
    assert promote.call_args.args[2:] == (DUE, 3)
