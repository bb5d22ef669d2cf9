"""Forget a person's rows."""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from airflow_evergreen.runtime import who_triggered
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class ForgetRowsOperator(StepOperator):
    """Remove the rows of a key, with their labels and predictions, from all that the lake keeps, for good.

    Returns how many rows went by table, which versions had learnt from them, what that leaves to do, and the same in a
    sentence; never the key. The run's own configuration holds it: delete the run afterwards. Parameters beside those of
    ``StepOperator``:

    :param key: what names the rows, a value a line; empty for the run's own ``key``.
    :param column: the columns that these are values of, one a line; empty for the run's own, or for the key.
    :param why: why, for the record. (templated)
    """

    # Airflow keeps what a templated field was rendered to: the key is none.
    template_fields = ("model_id", "why")

    def __init__(self, *, key: str = "", column: str = "", why: str = "{{ params.why }}", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.key, self.column, self.why = key, column, why

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Remove them."""
        from evergreen.steps.forget_rows import describe_forgotten, forget_rows

        params = context.get("params", {})
        values, columns = (
            tuple(line.strip() for line in str(given).splitlines() if line.strip())
            for given in (self.key or params["key"], self.column or params.get("column") or "")
        )
        on, why = datetime.now(UTC).date(), f"{who_triggered(context)}: {self.why}"
        result = forget_rows(model, at, values, columns, on, why)
        told = list(describe_forgotten(model.id, result))
        return {"rows": result.ended.rows, "versions": list(result.record.versions), "told": told, "outcome": told[0]}
