"""A task fits a version once more; one that does not come out equal fails at its first try, saying what differs."""

import pytest

from airflow_evergreen.operators.reproduce_model import ReproduceModelOperator
from evergreen.errors import Refused
from evergreen.records import ReproductionRecord

RECORD = ReproductionRecord(
    as_of="2024-01-03", version=3, n=0, equal=True, rows=80, parameters="a" * 40, found=(), why="ada: an audit"
)


@pytest.fixture
def task():
    return ReproduceModelOperator(task_id="reproduce_model", model_id="taxi", version="3", why="an audit")


def test_an_equal_one_is_told_in_numbers(model, deployment, task, step, context_of):
    called = step("reproduce_model", RECORD)
    made = task.execute(context_of())
    assert (made["version"], made["rows"], made["parameters"]) == (3, 80, "a" * 40)
    assert made["outcome"].startswith("taxi: version 3 is reproduced: equal")
    assert made["told"].startswith(made["outcome"])
    called.assert_called_once_with(model, deployment, 3, "ada: an audit")


def test_another_one_fails_without_a_retry(model, task, step, context_of):
    step("reproduce_model", RECORD.model_copy(update={"equal": False, "found": ("the parameters differ: x",)}))
    with pytest.raises(Refused, match=r"taxi: version 3 is not reproduced\n  the parameters differ: x"):
        task.execute(context_of())
