"""A human is asked where the gate does not decide, told of it before the wait, and heard once."""

import re
from datetime import UTC, datetime, timedelta

import jinja2
import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import TaskAwaitingInput

from airflow_evergreen.operators.approve_model import ApproveModelOperator
from evergreen.config.model_folder import load_model_folder
from evergreen.incidents import report
from evergreen.records import ApprovalRecord, AttemptRecord, Judgement, SectionVerdict, VerdictRecord

ATTEMPT = {"verdict": "2024-01-14.0", "as_of": "2024-01-18", "run": 1}
ASKS = {"attempt": "2024-01-14.0", "outcome": "needs approval", "why": "zone 7 is new to the champion"}


def operator(**judged):
    return ApproveModelOperator(task_id="approve_model", model_id="taxi", attempt=ATTEMPT, judged={**ASKS, **judged})


@pytest.fixture
def asked(monkeypatch):
    """What Airflow is asked to ask; its API is the network's edge."""
    questions = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **question: questions.append(question))
    return questions


def answer(*options, by=None):
    return {
        "chosen_options": list(options),
        "params_input": {},
        "responded_at": datetime(2024, 1, 19, tzinfo=UTC),
        "responded_by_user": by and {"id": "1", "name": by},
        "timedout": by is None,
    }


@pytest.mark.parametrize("outcome", ["passed", "refused"])
def test_where_the_gate_has_decided_nobody_is_asked(outcome, model, asked, context_of):
    assert operator(outcome=outcome).execute(context_of()) == {"outcome": outcome, "by": "the gate"}
    assert asked == []


def test_where_it_has_not_the_task_waits_without_a_worker(model, asked, context_of):
    with pytest.raises(TaskAwaitingInput) as waiting:
        operator().execute(context_of())
    assert waiting.value.method_name == "execute_complete"
    assert waiting.value.timeout == timedelta(days=7)
    (question,) = asked
    assert question["options"] == ["Approve", "Reject"]
    assert question["defaults"] == ["Reject"]


def test_the_question_has_the_evidence_and_takes_a_reason(model, ledger, asked, context_of):
    sections = dict.fromkeys(("freshness", "inputs", "predictions", "outcomes"), SectionVerdict(state="ok", why="fine"))
    asks = {"reasons": ("asked",), "action": "retrain", "last_ask": "2024-01-14.0", "previous_ask": None}
    ledger.put(VerdictRecord(as_of="2024-01-14", n=0, covers=(), promotion=1, version=1, **sections, **asks))
    numbers = {"rows": 300, "blocks": 2, "champion": 5.0, "challenger": 4.0, "improvement": 0.2, "lower": 0.1}
    judgement = Judgement(against="version 1", metric="mae", **numbers, upper=0.3, expected=0.18, worse=0.01)
    ledger.put(
        AttemptRecord(
            as_of="2024-01-18",
            verdict="2024-01-14.0",
            trained_on=("2024-01-01", "2024-01-13"),
            training_rows=4000,
            data="d",
            code="c",
            holdout=("2024-01-17", "2024-01-18"),
            against=1,
            judgement=judgement,
            outcome="needs approval",
            why="gate.approval: required",
        )
    )
    task = operator(page="http://mlflow/#/experiments/1/runs/2")
    task.body = "a [link](http://x)"
    with pytest.raises(TaskAwaitingInput):
        task.execute(context_of())
    (question,) = asked
    lines = question["body"].splitlines()
    assert lines[0].startswith(r"a \[link\]")
    assert lines[2].startswith("- asked for by verdict 2024-01-14.0: asked; outcomes: fine")
    assert "- against version 1: mae 5 to 4 on 300 rows in 2 batches" in question["body"]
    assert "worse with a probability of 1%" in question["body"]
    assert re.fullmatch(
        r"- \[The model\]\(.*/dags/taxi__\w+/plugin/evergreen-model\), "
        r"\[The challenger in MLflow\]\(http://mlflow/#/experiments/1/runs/2\)",
        lines[-1],
    )
    assert question["assigned_users"] is None
    assert list(question["params"]) == ["reason"]


def test_only_those_who_may_decide_are_asked(write_folder, edit_config, asked, context_of):
    write_folder(config=edit_config("min_effect: 2%", "min_effect: 2%, approvers: [ada, bob]"))
    with pytest.raises(TaskAwaitingInput):
        operator().execute(context_of())
    assert [user["id"] for user in asked[0]["assigned_users"]] == ["ada", "bob"]


def test_the_reason_goes_on_record(model, ledger, context_of):
    event = {**answer("Approve", by="ada"), "params_input": {"reason": "the new tariff"}}
    operator().execute_complete(context_of(), event)
    assert ledger.get(ApprovalRecord, "2024-01-14.0").why == "the new tariff"


def test_without_a_limit_it_waits_for_ever(write_folder, edit_config, asked, context_of):
    write_folder(config=edit_config("min_effect: 2%", "min_effect: 2%, approval_wait: forever"))
    with pytest.raises(TaskAwaitingInput) as waiting:
        operator().execute(context_of())
    assert waiting.value.timeout is None


def test_the_question_names_model_attempt_and_reason(model):
    task = operator()
    rendered = [jinja2.Template(text).render(task=task) for text in (task.subject, task.body)]
    assert rendered == ["Promote the challenger of taxi?", "2024-01-14.0: zone 7 is new to the champion"]


def test_the_question_is_rendered_after_what_it_quotes():
    fields = list(ApproveModelOperator.template_fields)
    assert fields.index("judged") < fields.index("body")


def test_people_are_told_before_the_wait(model, ledger, asked, context_of, caplog):
    report(ledger, "approval", "2024-01-18", "attempt 2024-01-14.0 needs approval")
    with pytest.raises(TaskAwaitingInput):
        operator().execute(context_of())
    assert "approval.0 opened" in caplog.text


@pytest.mark.parametrize(("approved", "outcome"), [(True, "approved"), (False, "rejected")])
def test_an_answer_on_record_is_not_asked_for_again(approved, outcome, model, ledger, asked, context_of):
    ledger.put(ApprovalRecord(as_of="2024-01-18", attempt="2024-01-14.0", approved=approved, by="ada"))
    assert operator().execute(context_of()) == {"outcome": outcome, "by": "ada"}
    assert asked == []


@pytest.mark.parametrize(
    ("event", "outcome", "by"),
    [
        (answer("Approve", by="ada"), "approved", "ada"),
        (answer("Reject", by="ada"), "rejected", "ada"),
        (answer("Reject"), "rejected", "nobody within the time"),
    ],
    ids=["yes", "no", "silence"],
)
def test_an_answer_is_put_on_record(event, outcome, by, model, ledger, context_of):
    context = context_of()
    assert operator().execute_complete(context, event) == {"outcome": outcome, "by": by}
    record = ledger.get(ApprovalRecord, "2024-01-14.0")
    assert (record.approved, record.by, record.as_of) == (outcome == "approved", by, "2024-01-18")
    assert record.meta["by"] == context["ti"].log_url


def test_the_first_word_stands(model, ledger, context_of):
    operator().execute_complete(context_of(), answer("Reject", by="ada"))
    found = operator().execute_complete(context_of(), answer("Approve", by="bob"))
    assert found == {"outcome": "rejected", "by": "ada"}


def test_an_answer_that_was_not_offered_is_none(model, ledger, context_of):
    with pytest.raises(ValueError, match="Maybe"):
        operator().execute_complete(context_of(), answer("Maybe", by="ada"))
    assert ledger.get(ApprovalRecord, "2024-01-14.0") is None


def test_the_limit_is_the_models_own(write_folder, edit_config, asked, context_of):
    folder = write_folder(config=edit_config("min_effect: 2%", "min_effect: 2%, approval_wait: 2h"))
    assert load_model_folder(folder).config.gate.approval_wait == timedelta(hours=2)
    with pytest.raises(TaskAwaitingInput) as waiting:
        operator().execute(context_of())
    assert waiting.value.timeout == timedelta(hours=2)
