"""The check runs at every n-th batch, and tells its verdict in states and reasons."""

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from airflow_evergreen.operators.check_drift import CheckDriftOperator
from evergreen.records import SectionVerdict, VerdictRecord


def verdict(batch):
    ok = SectionVerdict(state="ok", why="")
    return VerdictRecord(
        as_of=batch,
        n=0,
        covers=(batch,),
        promotion=1,
        version=1,
        freshness=ok,
        inputs=SectionVerdict(state="warn", why="distance has drifted", numbers={"drifted": ["distance"]}),
        predictions=ok,
        outcomes=SectionVerdict(state="ok", why="", numbers={"error": 2.5, "at_first": 2.25, "rows": 90}),
        reasons=("decay",),
        action="retrain",
        last_ask=f"{batch}.0",
        previous_ask=None,
    )


@pytest.fixture
def operator():
    return CheckDriftOperator(task_id="check_drift", model_id="taxi")


def test_a_check_tells_states_reasons_and_action(operator, model, step, context_of):
    step("check_drift", verdict("2024-01-02"))
    assert operator.execute(context_of()) == {
        "verdict": "2024-01-02.0",
        "freshness": "ok",
        "inputs": "warn",
        "predictions": "ok",
        "outcomes": "ok",
        "reasons": ["decay"],
        "action": "retrain",
        "error": 2.5,
        "error_at_first": 2.25,
        "rows": 90,
        "drifted": ["distance"],
        "drawn": "2024-01-02",
    }


@pytest.mark.parametrize(
    ("batch", "following"),
    [
        ("2024-01-01", "2024-01-03"),
        ("2024-01-02", "2024-01-03"),
        ("2024-01-03", None),
        ("2024-01-04", "2024-01-06"),
        ("2024-01-06", None),
    ],
)
def test_between_two_checks_it_is_skipped_naming_the_next(
    batch, following, operator, write_folder, edit_config, step, context_of
):
    write_folder(config=edit_config("check: {window: 2", "check: {every: 3, window: 2"))
    check = step("check_drift", verdict(batch))
    if following is None:
        assert operator.execute(context_of(batch=batch))["verdict"] == f"{batch}.0"
        return
    with pytest.raises(AirflowSkipException, match=f"every 3 batches; the next check is at {following}"):
        operator.execute(context_of(batch=batch))
    check.assert_not_called()
