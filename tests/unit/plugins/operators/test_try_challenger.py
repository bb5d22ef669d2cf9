"""A task begins or ends an experiment for the person who has started it."""

import pytest

from airflow_evergreen.operators.try_challenger import TryChallengerOperator
from evergreen.records import ArmsRecord

RUNNING = ArmsRecord(
    as_of="2024-01-05",
    n=0,
    experiment=0,
    challenger="3",
    state="running",
    share=10,
    since="2024-01-05",
    why="ada: looks better",
)


@pytest.mark.parametrize(("given", "step_name", "asked"), [("3", "begin_arms", (3,)), ("", "end_arms", ())])
def test_who_and_why_go_with_it(given, step_name, asked, model, deployment, ledger, monkeypatch, context_of):
    called = []

    def act(*arguments):
        called.append(arguments)
        return ledger.put(RUNNING)

    monkeypatch.setattr(f"evergreen.steps.judge_arms.{step_name}", act)
    task = TryChallengerOperator(task_id="try_challenger", model_id="taxi", challenger=given, why="looks better")
    made = task.execute(context_of())
    assert called == [(model, deployment, *asked, "ada: looks better")]
    assert (made["challenger"], made["state"], made["share"]) == ("3", "running", 10)
    assert made["outcome"].startswith("online: the challenger version 3 answers 10 of a hundred keys")
