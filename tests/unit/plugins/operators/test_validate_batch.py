"""A rejected batch fails naming what was found where; others are told in numbers."""

import pytest

from airflow_evergreen.operators.validate_batch import ValidateBatchOperator
from evergreen.errors import BatchRejected
from evergreen.records import BatchRecord, Reason, RevisionRecord, SourceFile


@pytest.fixture(params=["rows", "labels"])
def feed(request):
    return request.param


@pytest.fixture
def operator(feed):
    return ValidateBatchOperator(task_id=f"validate_{feed}", model_id="taxi", feed=feed)


def record(feed, state, **fields):
    return BatchRecord(**{"as_of": "2024-01-02", "feed": feed, "revision": 0, "state": state, **fields})


REJECTED = {"quarantined": 10, "reasons": (Reason(expectation="declared columns", found="no column zone", rows=0),)}


@pytest.mark.parametrize("state", ["published", "missing"])
def test_a_sealed_batch_is_told_in_numbers(state, feed, operator, model, step, context_of):
    step("validate_batch", record(feed, state, rows_in=10, clean=8, quarantined=2))
    assert operator.execute(context_of()) == {
        "batch": "2024-01-02",
        "state": state,
        "rows_in": 10,
        "clean": 8,
        "quarantined": 2,
    }


def test_a_rejected_batch_fails_with_files_columns_and_what_was_found(feed, operator, model, step, context_of):
    reasons = [Reason(expectation="values in set", column="zone", found="ZZ", rows=3)]
    reasons += [Reason(expectation="declared columns", found=f"no column c{i}", rows=0) for i in range(9)]
    file = SourceFile(name="trips_2024-01-02.csv", size=3, sha256="s", raw="r")
    step("validate_batch", record(feed, "rejected", quarantined=10, reasons=tuple(reasons), files=(file,)))
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
    assert "Nothing of it was published" in str(raised.value)
    command = "evergreen reingest taxi 2024-01-02" + (" --feed labels" if feed == "labels" else "")
    assert str(raised.value).endswith(f"or mend what is wrong here, then: {command}")


def test_a_rejected_batch_that_was_mended_since_says_which_revision_is_read(
    feed, operator, model, ledger, step, context_of
):
    step("validate_batch", ledger.put(record(feed, "rejected", **REJECTED)))
    ledger.put(record(feed, "published", as_of="2024-01-09", batch="2024-01-02", revision=1))
    revision = {"feeds": (feed,), "batch": "2024-01-02", "revision": 1, "added": 1, "removed": 0, "changed": 0}
    ledger.put(RevisionRecord(as_of="2024-01-09", n=0, **revision))
    with pytest.raises(BatchRejected) as raised:
        operator.execute(context_of())
    assert "Revision 1 is read in its place." in str(raised.value)
    assert str(raised.value).endswith("It was mended since; nothing is to be done.")


def test_a_model_without_a_label_feed_has_nothing_to_validate(model, step, context_of):
    validate = step("validate_batch", None)
    task = ValidateBatchOperator(task_id="validate_labels", model_id="taxi", feed="labels")
    found = task.execute(context_of())
    assert found == {"batch": "2024-01-02", "state": "no labels"}
    assert validate.call_args.args[3] == "labels"
