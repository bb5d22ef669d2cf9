"""A task scores batches again for the person who has started it."""

from airflow_evergreen.operators.rescore_batches import RescoreBatchesOperator
from evergreen.records import ClaimRecord
from evergreen.steps.rescore_batches import RescoreResult

DAYS = {"first": "2024-01-02", "last": "2024-01-03", "why": "a late tariff"}


def test_who_why_and_the_runs_name_go_with_it(model, deployment, step, context_of):
    was = {"promotion": 1, "why": "", "data": "d", "label_cut": None}
    before = ClaimRecord(as_of="2024-01-02", revision=0, version=1, **was)
    now = before.model_copy(update={"revision": 2, "version": 3})
    results = [
        RescoreResult("2024-01-02", now, before, 40),
        RescoreResult("2024-01-03", before, before, why="as before"),
    ]
    called = step("rescore_batches", results)
    task = RescoreBatchesOperator(task_id="rescore_batches", model_id="taxi", version="3", **DAYS)
    made = task.execute(context_of())
    assert (made["batches"], made["rows"]) == (["2024-01-02", "2024-01-03"], 40)
    assert made["told"][0] == "batch 2024-01-02: 40 rows scored again by version 3, as revision 2; by version 1 before"
    assert made["told"][1] == "batch 2024-01-03: as before"
    assert made["outcome"] == "2024-01-02 to 2024-01-03: 1 of 2 batches read as scored again; ada: a late tariff"
    called.assert_called_once_with(
        model, deployment, "2024-01-02", "2024-01-03", 3, "ada: a late tariff", "scheduled__1"
    )
    task = RescoreBatchesOperator(task_id="rescore_batches", model_id="taxi", version="", **DAYS)
    task.execute(context_of())
    assert called.call_args.args[4] is None
