"""Take in what arrived for a batch."""

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.records import ArrivalRecord, Feed
from evergreen.sources.intake import source_of, take_in


def ingest_batch(model: ModelFolder, at: Locations, batch: str, feed: Feed = "rows") -> ArrivalRecord | None:
    """Copy the files of a feed's batch into the lake and list them; late files of earlier batches come along.

    :returns: the arrival record; None for labels without files of their own: they stand inside the rows, or there are
        none.
    :raises NotReady: if the feed's batch before is not sealed, or a file is still growing.
    """
    return take_in(model, at, feed, batch) if source_of(model, feed) is not None else None
