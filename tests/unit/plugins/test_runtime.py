"""What a task finds out at run time: its batch, how long it may wait, and that its records say by whom."""

from datetime import UTC, datetime, timedelta, timezone

import pendulum
import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import AirflowSkipException

from airflow_evergreen.retries import RETRIES
from airflow_evergreen.runtime import acting_for, batch_of, load_model, locate, patience
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import ModelNotFound, Refused
from evergreen.storage.ledger import acting


def test_a_batch_that_is_given_goes_over_all(model, context_of):
    assert batch_of(model, "2024-02-29", context_of(batch="2024-03-01")) == "2024-02-29"


def test_the_param_goes_over_the_interval(model, context_of):
    assert batch_of(model, None, context_of(batch="2024-03-01")) == "2024-03-01"


@pytest.mark.parametrize("batch", [None, ""])
@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (datetime(2024, 1, 3, 7, tzinfo=UTC), "2024-01-02"),
        (datetime(2024, 1, 3, tzinfo=UTC), "2024-01-02"),
        (datetime(2024, 1, 2, 23, 59, 59, tzinfo=UTC), "2024-01-01"),
        (datetime(2024, 1, 3, 2, tzinfo=timezone(timedelta(hours=-5))), "2024-01-02"),
        (pendulum.datetime(2024, 3, 10, 3, tz="America/New_York"), "2024-03-09"),
    ],
)
def test_without_one_it_is_the_last_that_had_ended_with_the_interval(end, expected, batch, model, context_of):
    assert batch_of(model, None, context_of(end=end, batch=batch)) == expected


def test_a_run_with_no_interval_says_what_to_give_it(model, context_of):
    with pytest.raises(Refused, match=r"taxi.*Param batch"):
        batch_of(model, None, context_of(end=None))


def test_an_interval_before_the_start_is_skipped(model, context_of):
    with pytest.raises(AirflowSkipException, match=r"2023-12-31.*2024-01-01"):
        batch_of(model, None, context_of(end=datetime(2024, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize("batch", ["2024-02-30", "yesterday", "2024-01-02T00"])
def test_a_param_that_names_no_batch_is_answered_with_one_that_does(batch, model, context_of):
    with pytest.raises(Refused, match=f"taxi: .*'{batch}'.* a day is named such as 2024-01-01"):
        batch_of(model, None, context_of(batch=batch))


def test_a_param_that_names_no_batch_is_refused_without_a_retry(model, context_of):
    with pytest.raises(Refused) as raised:
        batch_of(model, None, context_of(batch="yesterday"))
    assert RETRIES.evaluate(raised.value, 1, 3).action is RetryAction.FAIL


def test_a_batch_before_the_start_is_refused_at_once(model, context_of):
    for given, param in ((None, "2023-12-31"), ("2023-12-31", None)):
        with pytest.raises(Refused, match=r"'2023-12-31' lies before the schedule's start 2024-01-01"):
            batch_of(model, given, context_of(batch=param))
    assert batch_of(model, None, context_of(batch="2024-01-01")) == "2024-01-01"


@pytest.mark.parametrize(
    ("wait", "labels", "expected"),
    [
        ("6h", "12h", timedelta(days=1, hours=12)),
        ("2d", "12h", timedelta(days=3)),
        ("forever", "12h", None),
        ("6h", "forever", None),
    ],
)
def test_patience_is_the_longest_wait_for_files_and_a_day(wait, labels, expected, write_folder, edit_config):
    text = edit_config("wait: 6h", f"wait: {wait}").replace("wait: 12h", f"wait: {labels}")
    assert patience(load_model_folder(write_folder("bikes", config=text))) == expected


def test_patience_without_labels_is_that_for_rows(write_folder, edit_config):
    text = edit_config("labels:\n", "LABELS")
    text = text.partition("LABELS")[0] + "labels: none\n" + text[text.index("features: ") :]
    assert patience(load_model_folder(write_folder("bikes", config=text))) == timedelta(days=1, hours=6)


def test_an_unknown_model_is_answered_with_the_known_ones(model):
    with pytest.raises(ModelNotFound, match=r"'tax'.*there are: taxi"):
        load_model("tax")


def test_a_deployment_is_where_the_environment_says(deployment):
    assert locate() == deployment


def test_records_say_by_which_task_and_nobody_else_does(context_of):
    with acting_for(context_of()):
        assert acting.get().endswith("/tasks/score_batch")
    assert acting.get() == ""


def test_a_task_that_fails_leaves_its_name_nowhere(context_of):
    with pytest.raises(RuntimeError), acting_for(context_of()):
        raise RuntimeError
    assert acting.get() == ""
