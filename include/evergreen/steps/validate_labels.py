"""Validate the labels of a batch."""

from evergreen.checks.sealing import seal
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.records import BatchRecord
from evergreen.sources.intake import source_of
from evergreen.steps.validate_batch import tell


def validate_labels(model: ModelFolder, at: Locations, batch: str) -> BatchRecord | None:
    """Tell clean labels from the others and seal the feed's batch. Keys are matched when labels are read, not here.

    :returns: the sealed record; None for a model without labels.
    :raises NotReady: if the labels have not been ingested.
    """
    if model.config.labels is None:
        return None
    record = seal(model, at, "labels", batch)
    # A batch whose rows were rejected takes the labels inside it along; one incident tells of both.
    if source_of(model, "labels") is not None or record.state == "published":
        tell(model, at, "labels", record)
    return record
