"""Whether a batch can be taken: probed from the outside, without changing anything."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from evergreen.config.feeds_config import FilesConfig
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import LandingAbsent
from evergreen.records import ArrivalRecord, BatchRecord, ClaimRecord, Feed, VerdictRecord
from evergreen.sources.intake import landing_location, probe_feed, require_earlier, source_of
from evergreen.sources.landing import ProbeResult
from evergreen.sources.landing_location import place_of
from evergreen.storage.revisions import is_scored
from evergreen.storage.stores import Stores, stores_of


@dataclass(frozen=True)
class WaitResult:
    """Whether a batch can be ingested.

    :param state: ``complete`` (or already ingested), ``waiting``, ``overdue`` (its time to wait is over), or
        ``missing`` (declared so).
    :param why: what was seen.
    :param probe: the probe itself, to be handed to the next one.
    """

    state: Literal["complete", "waiting", "overdue", "missing"]
    why: str
    probe: ProbeResult | None = None


def probe_batch(
    model: ModelFolder, at: Locations, batch: str, now: datetime, before: ProbeResult | None = None, feed: Feed = "rows"
) -> WaitResult:
    """Probe once whether a batch is complete.

    :param now: the moment of this probe; ``wait`` counts from the batch's end.
    :param before: the probe before this one, needed where sizes must stay the same over two probes.
    :raises NotReady: if the batch before has not been sealed.
    :raises Outage: if the landing place cannot be read, or is not there or bare when the batch's time is over: what
        nobody can see is not missing.
    """
    stores = stores_of(model, at)
    sealed = stores.ledger.get(BatchRecord, f"{feed}.{batch}")
    if sealed is not None:
        return WaitResult("missing" if sealed.state == "missing" else "complete", f"already {sealed.state}")
    if stores.ledger.get(ArrivalRecord, f"{feed}.{batch}") is not None:
        return WaitResult("complete", "already ingested")
    require_earlier(stores, model.config.calendar, model.id, feed, batch)
    probe = probe_feed(model, at, feed, batch, now, before)
    if probe.complete:
        return WaitResult("complete", probe.why, probe)
    source = source_of(model, feed)
    assert source is not None
    open_end = source.wait == timedelta.max or now < model.config.calendar.end(batch) + source.wait
    if not open_end:
        _require_seen(model, stores, feed, batch, probe)
    return WaitResult("waiting" if open_end or probe.settling else "overdue", probe.why, probe)


def _require_seen(model: ModelFolder, stores: Stores, feed: Feed, batch: str, probe: ProbeResult) -> None:
    """Refuse to call missing what nobody can see: the landing place is not there, or lost its mount."""
    why = probe.why
    if probe.bare:
        before = stores.ledger.get(BatchRecord, f"{feed}.{model.config.calendar.shift(batch, -1)}")
        if before is None or not before.brought:
            return
        why = (
            f"{why}, though files of batch {before.brought} came from there; mount it. Where files are taken away on "
            "purpose, leave one behind, such as .keep"
        )
    elif not probe.absent:
        return
    source = source_of(model, feed)
    assert isinstance(source, FilesConfig)
    place = place_of(landing_location(model, stores.at, source))
    raise LandingAbsent(f"model {model.id}, {feed} of batch {batch}: {why}", place)


def unsettled(model: ModelFolder, at: Locations, batch: str) -> str | None:
    """What a batch still lacks before it can be checked: its claim, or its labels; None if nothing."""
    ledger = stores_of(model, at).ledger
    if ledger.get(ClaimRecord, batch) is None:
        return f"batch {batch} has not been claimed; score it before the check"
    if model.config.labels is not None and ledger.get(BatchRecord, f"labels.{batch}") is None:
        return f"the labels of batch {batch} are not sealed; validate them before the check"
    return None


def unscored(model: ModelFolder, at: Locations, batch: str) -> str | None:
    """That a claimed batch is still being scored: many rows take minutes after the claim; None once it is."""
    stores = stores_of(model, at)
    claim = stores.ledger.last(ClaimRecord, batch)
    if claim is None or claim.version is None or is_scored(stores, claim):
        return None
    return f"batch {batch} is claimed and not scored yet; see score_batch"


def unordered(model: ModelFolder, at: Locations, batch: str) -> str | None:
    """What check should come before that of a batch and has not; None if it has, or if there is none."""
    ledger, calendar, every = stores_of(model, at).ledger, model.config.calendar, model.config.check.every
    first = calendar.index(batch) - every
    if first < 0:
        return None
    # After a change of check.every, the check before this one may lie anywhere in between.
    earlier = calendar.between(calendar.name(first), batch)[:-1]
    if any(ledger.get(VerdictRecord, one) is not None for one in earlier):
        return None
    return f"batch {earlier[0]} has not been checked; it is waited for, so that checks follow one another"
