"""Validate the labels of a batch."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from airflow_evergreen.operators.validate_batch import outcome
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class ValidateLabelsOperator(StepOperator):
    """Tell clean labels from the others and seal the feed's batch; fail, without a retry, if it is rejected.

    Returns the batch, its state and its labels in, clean and in quarantine. Parameters: see ``StepOperator``.
    """

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Validate."""
        from evergreen.steps.validate_labels import validate_labels

        batch = self.as_of(model, context)
        record = validate_labels(model, at, batch)
        return outcome(model, record) if record is not None else {"batch": batch, "state": "no labels"}
