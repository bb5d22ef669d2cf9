"""A task removes what has reached its age as its batch ends, and tells from which batch on there is anything."""

from airflow_evergreen.operators.apply_retention import ApplyRetentionOperator


def test_it_tells_what_is_kept(model, deployment, step, context_of):
    called = step("apply_retention", {"raw": "2024-01-02"})
    made = ApplyRetentionOperator(task_id="apply_retention", model_id="taxi").execute(context_of())
    assert made["kept_from"] == {"raw": "2024-01-02"}
    called.assert_called_once_with(model, deployment, made["batch"])
