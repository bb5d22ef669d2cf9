"""Take in the rows of a batch."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class IngestBatchOperator(StepOperator):
    """Copy the files of a batch into the lake and list them; late files of earlier batches come along.

    Returns the batch, its number of files and their bytes. Parameters: see ``StepOperator``.
    """

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Ingest."""
        from evergreen.steps.ingest_batch import ingest_batch

        arrived = ingest_batch(model, at, self.as_of(model, context))
        return {"batch": arrived.as_of, "files": len(arrived.files), "bytes": sum(file.size for file in arrived.files)}
