"""Take in what was answered online."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class IngestAnswersOperator(StepOperator):
    """Take the answers that `evergreen serve` has spooled into the lake, as those of a batch.

    Returns the rows, those left out because they came before, and lines that cannot be read. Parameters: see
    ``StepOperator``.
    """

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Take them in."""
        from evergreen.steps.ingest_answers import ingest_answers

        record = ingest_answers(model, at, self.as_of(model, context))
        told = {"batch": record.as_of, "files": len(record.files), "rows": record.rows}
        return told | {"copies": record.copies, "torn": record.torn}
