"""Compute the feature views that a model reads."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from evergreen.config.locations import Locations, model_roots, view_roots
from evergreen.config.model_folder import ModelFolder
from evergreen.config.view_folder import load_views


class ComputeViewsOperator(StepOperator):
    """Compute each feature view that the model declares, from the rows that have arrived with the batch.

    Returns the batch, and by view the last batch that it is computed for. Parameters: see ``StepOperator``.
    """

    reads = ("rows",)

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Compute."""
        from evergreen.steps.compute_views import compute_views

        batch, folders = self.as_of(model, context), load_views(model, view_roots(), model_roots())
        return {"batch": batch, "views": compute_views(model, at, batch, folders)}
