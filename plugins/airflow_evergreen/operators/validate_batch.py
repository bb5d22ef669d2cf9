"""Validate what was taken in for a batch."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.feed import FeedOperator
from airflow_evergreen.runtime import feed_of
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class ValidateBatchOperator(FeedOperator):
    """Tell clean rows from the others and seal the feed's batch; fail, without a retry, if it is rejected as a whole.

    Returns the batch, its state and its rows in, clean and in quarantine. Parameters beside those of ``StepOperator``:

    :param feed: ``rows`` or ``labels``. (templated)
    """

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Validate."""
        from evergreen.steps.validate_batch import validate_batch

        batch = self.as_of(model, context)
        record = validate_batch(model, at, batch, feed_of(self.feed))
        return self.outcome(model, at, record) if record is not None else {"batch": batch, "state": "no labels"}
