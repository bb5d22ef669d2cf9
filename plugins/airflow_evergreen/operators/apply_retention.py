"""Remove what has reached its age."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class ApplyRetentionOperator(StepOperator):
    """Remove what ``retention`` in config.yaml lets go as the run's batch ends.

    Returns the batch, and by table the first batch that is kept. Parameters: see ``StepOperator``.
    """

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Remove it."""
        from evergreen.steps.apply_retention import apply_retention

        batch = self.as_of(model, context)
        return {"batch": batch, "kept_from": apply_retention(model, at, batch)}
