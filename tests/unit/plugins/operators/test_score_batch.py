"""A batch that nobody scores fails where its data is at fault, and is skipped where nobody can be."""

import re

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from airflow_evergreen.operators.score_batch import ScoreBatchOperator
from evergreen.errors import BatchMissing, BatchRejected
from evergreen.records import ClaimRecord
from evergreen.steps.score_batch import ScoreResult


def scored(version, unscored=None, why="promotion 1, in force from 2024-01-02", rows=7):
    claim = ClaimRecord(
        as_of="2024-01-02",
        revision=0,
        version=version,
        promotion=version and 1,
        unscored=unscored,
        why=why,
        data="d",
        label_cut=None,
    )
    return ScoreResult(claim, rows)


@pytest.fixture
def operator(model):
    return ScoreBatchOperator(task_id="score_batch", model_id="taxi")


def test_a_scored_batch_tells_by_whom(operator, step, context_of):
    step("score_batch", scored(3))
    assert operator.execute(context_of()) == {"batch": "2024-01-02", "version": 3, "promotion": 1, "rows": 7}


@pytest.mark.parametrize(
    ("unscored", "error"),
    [
        ("rejected", BatchRejected),
        ("missing", BatchMissing),
        ("no champion", AirflowSkipException),
        ("empty", AirflowSkipException),
        ("unreadable", AirflowSkipException),
        ("failed", AirflowSkipException),
    ],
)
def test_a_batch_scored_by_nobody_says_why(unscored, error, operator, step, context_of):
    why = f"in whatever words of {unscored}"
    step("score_batch", scored(None, unscored, why, 0))
    with pytest.raises(error, match=re.escape(f"taxi: batch 2024-01-02 was scored by nobody: {why}")):
        operator.execute(context_of())


def test_the_reasons_are_those_that_the_step_gives(model, ledger, deployment, operator, context_of):
    from evergreen.records import BatchRecord

    ledger.put(BatchRecord(as_of="2024-01-01", feed="rows", revision=0, state="rejected"))
    ledger.put(BatchRecord(as_of="2024-01-02", feed="rows", revision=0, state="missing"))
    with pytest.raises(BatchRejected, match="2024-01-01"):
        operator.execute(context_of(batch="2024-01-01"))
    with pytest.raises(BatchMissing, match="2024-01-02"):
        operator.execute(context_of())
