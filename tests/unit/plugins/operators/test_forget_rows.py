"""A task forgets rows, and returns what went; the key stays out of what it returns."""

from datetime import UTC, datetime

import pytest

from airflow_evergreen.operators.forget_rows import ForgetRowsOperator
from evergreen.records import ForgettingRecord, ForgottenRecord
from evergreen.steps.forget_rows import ForgetResult

RECORD = ForgettingRecord(
    as_of="2024-01-03", n=0, columns=("zone", "day"), salt="s", key="h", on="2026-12-01",
    partitions=(), files=(), versions=(2,), why="ada: she asked",
)  # fmt: skip
ENDED = ForgottenRecord(as_of="2024-01-03", n=0, rows={"clean": 3}, files=1, reports=0, records=2)


@pytest.mark.parametrize(("given", "columns"), [("zone\nday", ("zone", "day")), ("", ())])
def test_it_says_what_went_and_who_had_learnt(given, columns, model, deployment, step, context_of):
    task = ForgetRowsOperator(
        task_id="forget_rows", model_id="taxi", key="north \n\n2024", column=given, why="she asked"
    )
    called = step("forget_rows", ForgetResult(RECORD, ENDED, ("/landing/a.csv",), False))
    made = task.execute(context_of(params={"column": None}))
    assert (made["rows"], made["versions"]) == ({"clean": 3}, [2])
    assert "north" not in str(made)
    on = datetime.now(UTC).date()
    called.assert_called_once_with(model, deployment, ("north", "2024"), columns, on, "ada: she asked")
