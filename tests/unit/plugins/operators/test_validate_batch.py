"""A rejected batch fails naming what was found where; others are told in numbers."""

import pytest

from airflow_evergreen.operators.validate_batch import ValidateBatchOperator
from airflow_evergreen.operators.validate_labels import ValidateLabelsOperator
from evergreen.errors import BatchRejected
from evergreen.records import BatchRecord, Reason, SourceFile

KINDS = {"validate_batch": (ValidateBatchOperator, "rows"), "validate_labels": (ValidateLabelsOperator, "labels")}


@pytest.fixture(params=KINDS)
def kind(request):
    """The step's name, an operator for it, and its feed."""
    operator, feed = KINDS[request.param]
    return request.param, operator(task_id=request.param, model_id="taxi"), feed


def record(feed, state, **fields):
    return BatchRecord(as_of="2024-01-02", feed=feed, revision=0, state=state, **fields)


@pytest.mark.parametrize("state", ["published", "missing"])
def test_a_sealed_batch_is_told_in_numbers(state, kind, model, step, context_of):
    name, operator, feed = kind
    step(name, record(feed, state, rows_in=10, clean=8, quarantined=2))
    assert operator.execute(context_of()) == {
        "batch": "2024-01-02",
        "state": state,
        "rows_in": 10,
        "clean": 8,
        "quarantined": 2,
    }


def test_a_rejected_batch_fails_with_files_columns_and_what_was_found(kind, model, step, context_of):
    name, operator, feed = kind
    reasons = [Reason(expectation="values in set", column="zone", found="ZZ", rows=3)]
    reasons += [Reason(expectation="declared columns", found=f"no column c{i}", rows=0) for i in range(9)]
    file = SourceFile(name="trips_2024-01-02.csv", size=3, sha256="s", raw="r")
    step(name, record(feed, "rejected", quarantined=10, reasons=tuple(reasons), files=(file,)))
    with pytest.raises(BatchRejected) as raised:
        operator.execute(context_of())
    for said in (
        f"taxi: {feed} of batch 2024-01-02",
        "10 rows",
        "trips_2024-01-02.csv",
        "zone: values in set: ZZ",
        "no column c3",
    ):
        assert said in str(raised.value)
    assert "no column c4" not in str(raised.value)


def test_a_model_without_a_label_feed_has_nothing_to_validate(model, step, context_of):
    step("validate_labels", None)
    found = ValidateLabelsOperator(task_id="validate_labels", model_id="taxi").execute(context_of())
    assert found == {"batch": "2024-01-02", "state": "no labels"}
