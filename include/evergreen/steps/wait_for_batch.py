"""Wait for a batch: probe once, and declare it missing when its time is over."""

from dataclasses import replace
from datetime import datetime

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.incidents import STALE, report
from evergreen.records import Feed, Words
from evergreen.sources.landing import ProbeResult
from evergreen.sources.waiting import WaitResult, probe_batch
from evergreen.storage.stores import stores_of


def wait_for_batch(
    model: ModelFolder, at: Locations, batch: str, now: datetime, before: ProbeResult | None = None, feed: Feed = "rows"
) -> WaitResult:
    """Probe once whether the files of a batch are complete; past the time to wait, declare it missing.

    :param now: the moment of this probe; ``wait`` counts from the batch's end.
    :param before: the probe before this one, needed where sizes must stay the same over two probes.
    :returns: what was seen; never ``overdue``, which has become ``missing``.
    :raises NotReady: if the batch before has not been sealed.
    :raises Outage: if the landing place cannot be read, or is not there when the batch's time is over.
    """
    result = probe_batch(model, at, batch, now, before, feed)
    if result.state != "overdue":
        return result
    # Hardly ever needed, and it takes seconds: where each task is a process of its own, none that only waits pays them.
    from evergreen.checks.sealing import declare_missing
    from evergreen.steps.report_outages import place_of_many
    from evergreen.steps.validate_batch import tell_reingest

    # Told before it is recorded: a sealed batch is not waited for again.
    words = Words(
        f"{model.id}: {feed} of batch {batch} never came: {result.why}.",
        "The batch is declared missing; later batches go on.",
        f"Deliver the files: they join the next open batch, or then their own by: {tell_reingest(model, feed, batch)}",
    )
    earlier = model.config.calendar.shift(batch, -1)
    place = place_of_many(model.id, at, STALE[feed], now)
    report(stores_of(model, at).ledger, STALE[feed], batch, words, lost=batch, before=earlier, place=place)
    declare_missing(model, at, feed, batch)
    return replace(result, state="missing")
