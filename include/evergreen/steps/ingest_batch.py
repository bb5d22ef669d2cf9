"""Take in the rows of a batch."""

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.records import ArrivalRecord
from evergreen.sources.intake import take_in


def ingest_batch(model: ModelFolder, at: Locations, batch: str) -> ArrivalRecord:
    """Copy the files of a batch into the lake and list them; late files of earlier batches come along.

    :raises NotReady: if the batch before is not sealed, or a file is still growing.
    """
    return take_in(model, at, "rows", batch)
