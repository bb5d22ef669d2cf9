"""Tasks that take in what was answered online, and judge who answers beside the champion."""

from airflow_evergreen.operators.ingest_answers import IngestAnswersOperator
from airflow_evergreen.operators.judge_arms import JudgeArmsOperator
from evergreen.records import AnswersRecord, ArmsRecord


def test_what_was_taken_in_is_told(model, deployment, step, context_of):
    batch = "2024-01-03"
    record = AnswersRecord(as_of=batch, n=0, files=(), rows=5, copies=2, torn=1, content="c")
    called = step("ingest_answers", record)
    task = IngestAnswersOperator(task_id="ingest_answers", model_id="taxi", batch=batch)
    assert task.execute(context_of()) == {"batch": batch, "files": 0, "rows": 5, "copies": 2, "torn": 1}
    called.assert_called_once_with(model, deployment, batch)


def test_what_was_decided_is_told(model, deployment, step, context_of):
    batch = "2024-01-03"
    record = ArmsRecord(
        as_of=batch, n=1, experiment=0, challenger="3", state="running", share=5.0, since=batch, why="not worse"
    )
    called = step("judge_arms", record)
    task = JudgeArmsOperator(task_id="judge_arms", model_id="taxi", batch=batch)
    told = {"challenger": "3", "state": "running", "share": 5.0, "decided_at": batch, "why": "not worse"}
    assert task.execute(context_of()) == told
    called.assert_called_once_with(model, deployment, batch)
    called.return_value = None
    assert task.execute(context_of()) == {}
