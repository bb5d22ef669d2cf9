"""Look whether a batch has come."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from include.checks.sealing import declare_missing
from include.config.locations import Locations
from include.config.model_folder import ModelFolder
from include.incidents import STALE, report
from include.records import ArrivalRecord, BatchRecord, Feed
from include.sources.intake import files_of, look_at, require_earlier
from include.sources.landing import Look
from include.storage.stores import open_stores


@dataclass(frozen=True)
class WaitResult:
    """Whether a batch can be ingested.

    :param state: ``complete`` (or already ingested), ``waiting``, or ``missing`` (its time to wait is over).
    :param why: what was seen.
    :param look: the look itself, to be handed to the next one.
    """

    state: Literal["complete", "waiting", "missing"]
    why: str
    look: Look | None = None


def wait_for_batch(
    model: ModelFolder, at: Locations, batch: str, now: datetime, before: Look | None = None, feed: Feed = "rows"
) -> WaitResult:
    """Look once whether the files of a batch are complete; past the time to wait, declare it missing.

    :param now: the moment of this look; ``wait`` counts from the batch's end.
    :param before: the look before this one, needed where sizes must stay the same over two looks.
    :raises NotReady: if the batch before has not been sealed.
    """
    stores = open_stores(at, model.id)
    sealed = stores.ledger.get(BatchRecord, f"{feed}.{batch}")
    if sealed is not None:
        return WaitResult("missing" if sealed.state == "missing" else "complete", "already sealed")
    if stores.ledger.get(ArrivalRecord, f"{feed}.{batch}") is not None:
        return WaitResult("complete", "already ingested")
    require_earlier(stores, model.config.calendar, model.id, feed, batch)
    seen = look_at(model, at, feed, batch, before)
    if seen.complete:
        return WaitResult("complete", seen.why, seen)
    files = files_of(model, feed)
    assert files is not None
    if files.wait == timedelta.max or now < model.config.calendar.end(batch) + files.wait:
        return WaitResult("waiting", seen.why, seen)
    # Told before it is recorded: a sealed batch is not waited for again.
    text = (
        f"{model.id}: {feed} of batch {batch} never came: {seen.why}. Later batches go on. "
        "Deliver the files: they join the next open batch."
    )
    report(stores.ledger, STALE[feed], batch, text)
    declare_missing(model, at, feed, batch)
    return WaitResult("missing", seen.why, seen)
