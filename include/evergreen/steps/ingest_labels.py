"""Take in the labels of a batch."""

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.records import ArrivalRecord
from evergreen.sources.intake import source_of, take_in


def ingest_labels(model: ModelFolder, at: Locations, batch: str) -> ArrivalRecord | None:
    """Copy the label files of a batch into the lake and list them.

    :returns: the arrival record; None where labels stand inside the rows.
    :raises NotReady: if the labels of the batch before are not sealed, or a file is still growing.
    """
    return take_in(model, at, "labels", batch) if source_of(model, "labels") is not None else None
