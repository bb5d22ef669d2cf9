"""Take in the labels of a batch."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class IngestLabelsOperator(StepOperator):
    """Copy the label files of a batch into the lake and list them; nothing where labels stand inside the rows.

    Returns the batch, its number of files and their bytes. Parameters: see ``StepOperator``.
    """

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Ingest."""
        from evergreen.steps.ingest_labels import ingest_labels

        batch = self.as_of(model, context)
        arrived = ingest_labels(model, at, batch)
        files = arrived.files if arrived is not None else ()
        return {"batch": batch, "files": len(files), "bytes": sum(file.size for file in files)}
