"""Take in what arrived for a batch."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.feed import FeedOperator
from airflow_evergreen.runtime import feed_of
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class IngestBatchOperator(FeedOperator):
    """Copy the files of a feed's batch into the lake and list them; late files of earlier batches come along.

    Nothing is copied where labels stand inside the rows. Returns the batch, its number of files and their bytes.
    Parameters beside those of ``StepOperator``:

    :param feed: ``rows`` or ``labels``. (templated)
    """

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Ingest."""
        from evergreen.steps.ingest_batch import ingest_batch

        batch = self.as_of(model, context)
        arrived = ingest_batch(model, at, batch, feed_of(self.feed))
        files = arrived.files if arrived is not None else ()
        return {"batch": batch, "files": len(files), "bytes": sum(file.size for file in files)}
