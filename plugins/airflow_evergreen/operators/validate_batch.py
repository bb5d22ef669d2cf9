"""Validate the rows of a batch."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import BatchRejected
from evergreen.records import BatchRecord


class ValidateBatchOperator(StepOperator):
    """Tell clean rows from the others and seal the batch; fail, without a retry, if it is rejected as a whole.

    Returns the batch, its state and its rows in, clean and in quarantine. Parameters: see ``StepOperator``.
    """

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Validate."""
        from evergreen.steps.validate_batch import validate_batch

        return outcome(model, validate_batch(model, at, self.as_of(model, context)))


def outcome(model: ModelFolder, record: BatchRecord) -> dict[str, Any]:
    """A sealed batch in numbers.

    :raises BatchRejected: if it was rejected: which file, which column, what was found.
    """
    if record.state == "rejected":
        reasons = "; ".join(f"{why.column or 'batch'}: {why.expectation}: {why.found}" for why in record.reasons[:5])
        files = ", ".join(file.name for file in record.files)
        raise BatchRejected(
            f"model {model.id}: {record.feed} of batch {record.as_of} rejected, {record.quarantined} rows in "
            f"quarantine, nothing published. {files}: {reasons}. Have the source mended; the loop goes on without it"
        )
    counts = {"rows_in": record.rows_in, "clean": record.clean, "quarantined": record.quarantined}
    return {"batch": record.as_of, "state": record.state, **counts}
