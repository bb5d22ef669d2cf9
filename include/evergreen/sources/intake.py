"""Intake: what arrived for a batch is copied into the lake as it came, and listed in its arrival record."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime

from evergreen.batches import Calendar
from evergreen.config.feeds_config import FilesConfig, QueryConfig
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import EvergreenError, FileRefused, NotReady, SourceChanged
from evergreen.records import FEEDS, ArrivalRecord, BatchRecord, Feed, SourceFile
from evergreen.sources.landing import LandedFile, ProbeResult, list_files, probe_files, read_file
from evergreen.storage.identity import put_identity
from evergreen.storage.removals import follow_file, require_retained
from evergreen.storage.revisions import known_revisions, sealed_batch
from evergreen.storage.stores import Stores, stores_of


def source_of(model: ModelFolder, feed: Feed) -> FilesConfig | QueryConfig | None:
    """How a feed arrives; None for labels that stand inside the rows, or for no labels at all."""
    if feed == "rows":
        return model.config.source
    labels = model.config.labels
    return labels if isinstance(labels, FilesConfig | QueryConfig) else None


def landing_location(model: ModelFolder, at: Locations, files: FilesConfig) -> str:
    """The folder or URI at which a model's files arrive."""
    return files.location or f"{at.landing.rstrip('/')}/{model.id}"


def probe_feed(
    model: ModelFolder, at: Locations, feed: Feed, batch: str, now: datetime, before: ProbeResult | None
) -> ProbeResult:
    """Probe once whether a feed's batch is complete.

    :param now: the moment of this probe; a query is complete no sooner than its batch has ended.
    """
    source, calendar = source_of(model, feed), model.config.calendar
    if source is None:
        return ProbeResult(True, "labels stand inside the rows", ())
    if isinstance(source, QueryConfig):
        from evergreen.sources.querying import probe_query

        return probe_query(source, calendar, batch, now, f"model {model.id}, {feed}")
    return probe_files(landing_location(model, at, source), source, calendar, batch, before)


def probe_beforehand(model: ModelFolder, at: Locations, feed: Feed, batch: str) -> ProbeResult | None:
    """Where sizes must stay the same over two probes, the first one, and the time until the second; else None."""
    source = source_of(model, feed)
    if not isinstance(source, FilesConfig) or source.complete.marker or source.complete.count:
        return None
    first = probe_feed(model, at, feed, batch, model.config.calendar.end(batch), None)
    time.sleep(source.complete.stable.total_seconds() if first.sizes else 0)
    return first


def last_arrived(model: ModelFolder, at: Locations, now: datetime) -> str:
    """The last batch of which there is a file; where rows are queried, the last one that has ended.

    :raises NotReady: if no file fits.
    """
    source, schedule = model.config.source, model.config.schedule
    if isinstance(source, QueryConfig):
        return schedule.last_ended(min(now, schedule.end) if schedule.end else now)
    location = landing_location(model, at, source)
    listed = list_files(location, source, schedule.calendar)
    if not listed:
        raise NotReady(f"model {model.id}: no file in {location} fits {source.files}; deliver some, or say --landing")
    return max(listed)


def take_in(model: ModelFolder, at: Locations, feed: Feed, batch: str) -> ArrivalRecord:
    """Copy what arrived for a batch, and late files of batches before it, into the lake; record it once.

    :returns: the arrival record that stands: once it does, what is added or changed is not this batch's.
    :raises NotReady: if the batch before has not been taken in, or a file is still growing.
    """
    stores = stores_of(model, at)
    standing = stores.ledger.get(ArrivalRecord, f"{feed}.{batch}")
    if standing is not None:
        return standing
    calendar = model.config.calendar
    require_earlier(stores, calendar, model.id, feed, batch)
    put_identity(model, at, stores.ledger, feed, batch)
    copied = _copy(stores, _arrived(model, at, stores, feed, batch), feed, batch)
    if not copied:
        raise NotReady(
            f"model {model.id}: the files of {feed} for batch {batch} are gone since they were seen; put them back"
        )
    return stores.ledger.put(ArrivalRecord(as_of=batch, feed=feed, batch=batch, revision=0, files=copied))


def take_in_again(
    model: ModelFolder, at: Locations, feed: Feed, batch: str, revision: int, as_of: str
) -> ArrivalRecord:
    """Copy what is there now for a batch into the lake; nothing is recorded yet.

    What another batch has taken, as late files, stays there; late files that this one has taken stay here. A query is
    asked again.

    :param revision: the revision that it would make.
    :param as_of: the batch that is open now.
    :raises NotReady: if there are no files, or one is still growing.
    """
    stores, calendar, source = stores_of(model, at), model.config.calendar, source_of(model, feed)
    assert source is not None
    if isinstance(source, QueryConfig):
        copied = _copy(stores, _arrived(model, at, stores, feed, batch), feed, batch)
        return ArrivalRecord(as_of=as_of, feed=feed, batch=batch, revision=revision, files=copied)
    location = landing_location(model, at, source)
    listed = list_files(location, source, calendar)
    before = stores.ledger.get(ArrivalRecord, f"{feed}.{batch}", revision - 1)
    later = calendar.between(batch, calendar.shift(batch, source.late))[1:]
    elsewhere = _taken(stores, feed, later)
    joined = {file.name for file in before.files} if before else set()
    names = [name for name in listed.get(batch, []) if name not in elsewhere]
    names += [name for b in sorted(listed) if b != batch for name in listed[b] if name in joined]
    if not names:
        raise NotReady(
            f"model {model.id}: no file of {feed} for batch {batch} in {location}; put them back, then try again"
        )
    copied = _copy(stores, (read_file(location, name, model.config.limits) for name in names), feed, batch)
    return ArrivalRecord(as_of=as_of, feed=feed, batch=batch, revision=revision, files=copied)


def _copy(stores: Stores, arrived: Iterable[LandedFile], feed: Feed, batch: str) -> tuple[SourceFile, ...]:
    sources = []
    for landed in arrived:
        if landed.refused:
            sources.append(SourceFile(name=landed.name, size=0, sha256="", raw="", refused=landed.refused))
            continue
        raw = stores.lake.put_raw(f"{feed}/{batch}/{landed.sha256}", landed.content)
        sources.append(SourceFile(name=landed.name, size=len(landed.content), sha256=landed.sha256, raw=raw))
    return tuple(sources)


def _arrived(model: ModelFolder, at: Locations, stores: Stores, feed: Feed, batch: str) -> Iterator[LandedFile]:
    source, calendar = source_of(model, feed), model.config.calendar
    assert source is not None
    if isinstance(source, QueryConfig):
        from evergreen.sources.querying import run_query

        yield run_query(source, calendar, batch, f"model {model.id}, {feed}", model.config.limits)
        return
    location = landing_location(model, at, source)
    for name in _names_for(stores, location, source, calendar, feed, batch):
        yield read_file(location, name, model.config.limits)


def fetch(stores: Stores, file: SourceFile) -> LandedFile:
    """A file of an arrival record, from its copy in the lake.

    :raises FileRefused: if it was not read when it arrived.
    :raises RowsRemoved: if it is gone with rows that were forgotten, or by retention.
    :raises SourceChanged: if the copy is not what the record says.
    """
    if file.refused:
        raise FileRefused(file.name, None, file.refused)
    try:
        landed = LandedFile(file.name, stores.lake.get_raw(file.raw))
    except SourceChanged as error:
        _, batch, _ = file.raw.split("/")
        require_retained(stores.ledger, "raw", batch)
        moved, _ = follow_file(stores.ledger, file)
        if moved.raw == file.raw:
            raise SourceChanged(f"{file.name}: {error}") from error
        return fetch(stores, moved)
    if landed.sha256 != file.sha256:
        changed = f"hash {landed.sha256[:16]}, recorded {file.sha256[:16]}"
        raise SourceChanged(f"{file.name}: raw file {file.raw} has {changed}; restore it")
    return landed


def require_earlier(stores: Stores, calendar: Calendar, model_id: str, feed: Feed, batch: str) -> None:
    """Refuse to take a batch before the one before it is sealed.

    :raises NotReady: naming the batch that is missing.
    """
    if calendar.index(batch) < 0:
        raise NotReady(f"model {model_id}: batch {batch} lies before the schedule's start {calendar.name(0)}")
    before = calendar.shift(batch, -1)
    if calendar.index(batch) > 0 and stores.ledger.get(BatchRecord, f"{feed}.{before}") is None:
        began = stores.ledger.get(BatchRecord, f"{feed}.{calendar.name(0)}") is not None
        lost = "" if began else f". None ever was at {stores.at.lake}: if the model has run before, see EVERGREEN_LAKE"
        raise NotReady(f"model {model_id}: {feed} of batch {before} are not sealed; process it before {batch}{lost}")


def _names_for(
    stores: Stores, location: str, files: FilesConfig, calendar: Calendar, feed: Feed, batch: str
) -> list[str]:
    """The batch's own files, then files of earlier batches that came too late for them.

    Files of a rejected batch are held until somebody takes that batch in again.
    """
    listed = list_files(location, files, calendar)
    first = max(0, calendar.index(batch) - files.late)
    earlier = [calendar.name(i) for i in range(first, calendar.index(batch))]
    taken = _taken(stores, feed, earlier)
    late = []
    for b in earlier:
        new = [name for name in listed.get(b, []) if name not in taken]
        sealed = sealed_batch(stores.ledger, feed, b) if new else None
        if sealed is not None and sealed.state != "rejected":
            late += new
    return listed.get(batch, []) + late


def _taken(stores: Stores, feed: Feed, batches: list[str]) -> set[str]:
    """Names of the files that some batches have taken, in any revision that was read."""
    revisions = known_revisions(stores.ledger, feed)
    addresses = [(f"{feed}.{batch}", n) for batch in batches for n in range(revisions.get(batch, 0) + 1)]
    arrived = [stores.ledger.get(ArrivalRecord, *address) for address in addresses]
    return {file.name for arrival in arrived if arrival for file in arrival.files}


def find_landed(model: ModelFolder, at: Locations, batches: Iterable[str]) -> list[str]:
    """The files of some batches that lie where they arrived; none of a place that is not there or does not answer."""
    ledger, wanted, found = stores_of(model, at).ledger, set(batches), list[str]()
    for feed in FEEDS:
        source = source_of(model, feed)
        if not isinstance(source, FilesConfig):
            continue
        location = landing_location(model, at, source)
        with suppress(EvergreenError):
            listed = {name for names in list_files(location, source, model.config.calendar).values() for name in names}
            arrivals = (one for batch in wanted for one in ledger.all(ArrivalRecord, f"{feed}.{batch}"))
            taken = {file.name for arrival in arrivals for file in arrival.files}
            found += [f"{location}/{name}" for name in sorted(taken & listed)]
    return found
