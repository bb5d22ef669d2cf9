"""Take a sealed batch in again."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from evergreen.batches import Calendar
from evergreen.checks.quarantine import write_clean_and_quarantine
from evergreen.checks.sealing import describe_validated, validate_arrival
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import ConfigInvalid, NotReady
from evergreen.features.reading import partition_of, sort_order
from evergreen.records import ArrivalRecord, BatchRecord, ClaimRecord, Feed, RevisionRecord
from evergreen.sources.intake import probe_feed, source_of, take_in_again
from evergreen.sources.landing import ProbeResult
from evergreen.steps.validate_batch import resolve_mended
from evergreen.storage.columns import arrow_type, read_as
from evergreen.storage.frames import to_frame
from evergreen.storage.ledger import Ledger
from evergreen.storage.revisions import sealed_batch
from evergreen.storage.stores import Stores, stores_of

_SHOWN = 5


@dataclass(frozen=True)
class ReingestResult:
    """What became of taking a batch in again.

    :param before: the record by which it was read so far.
    :param after: that of the newest revision; equal to ``before`` where nothing has changed.
    :param revision: the record that says what changed, and from which batch on it is read; None where nothing has
        changed, or where the new revision was rejected and so takes nobody's place.
    :param keys: by ``added``, ``removed`` and ``changed``, the first few keys.
    """

    before: BatchRecord
    after: BatchRecord
    revision: RevisionRecord | None
    keys: dict[str, list[str]]


def reingest_batch(
    model: ModelFolder, at: Locations, batch: str, feed: Feed = "rows", probe: ProbeResult | None = None
) -> ReingestResult:
    """Make a further revision of a batch from the files that are there now, and say what it changes.

    It is read from the batch on that is open now. Claims, predictions and verdicts that stand are left as they are. The
    same files under the same rules make no revision; one that was begun and not ended is ended.

    :param probe: an earlier probe, where sizes must stay the same over two.
    :raises NotReady: if the batch is not sealed, or its files are not there or not complete.
    :raises ConfigInvalid: if the feed has no files of its own.
    """
    stores = stores_of(model, at)
    model.config.calendar.moment(batch)
    standing = _require_sealed(model, stores, feed, batch)
    ended = None
    for number in (standing.revision, standing.revision + 1):
        begun = stores.ledger.get(ArrivalRecord, f"{feed}.{batch}", number) if number else None
        ended = (_seal_revision(model, stores, begun) if begun else None) or ended
    standing = _require_sealed(model, stores, feed, batch)
    # A sealed batch has ended, whatever the clock says.
    result = probe_feed(model, at, feed, batch, model.config.calendar.end(batch), probe)
    if not result.complete:
        raise NotReady(f"model {model.id}: {feed} of batch {batch} are not complete: {result.why}")
    as_of = _open_batch(stores.ledger, model.config.calendar, batch)
    arrival = take_in_again(model, at, feed, batch, standing.revision + 1, as_of)
    if not _differs(model, stores, arrival):
        return ended or ReingestResult(standing, standing, None, {})
    made = _seal_revision(model, stores, stores.ledger.put(arrival))
    if made is not None:
        return made
    # Somebody else was faster with it.
    standing = _require_sealed(model, stores, feed, batch)
    return ReingestResult(standing, standing, None, {})


def describe_result(result: ReingestResult) -> Iterator[str]:
    """Say what a revision changes."""
    before, after, revision = result.before, result.after, result.revision
    name = f"{after.feed} of batch {after.batch}"
    if before == after:
        yield f"{name}: nothing has changed since revision {after.revision} ({after.state}); no revision was made"
        return
    yield f"{name}: revision {after.revision}, {before.state} before, {after.state} now"
    yield f"  clean rows: {before.clean} before, {after.clean} now"
    yield f"  rows in quarantine: {before.quarantined} before, {after.quarantined} now"
    for reason in after.reasons[:_SHOWN]:
        yield f"  {reason.column or reason.file or 'batch'}: {reason.expectation}: {reason.found} ({reason.rows} rows)"
    if revision is None:
        yield f"  it takes nobody's place: revision {before.revision} is read as before"
        return
    for what, keys in result.keys.items():
        shown = f": {', '.join(keys)}" if keys else ""
        yield f"  {getattr(revision, what)} rows {what}{shown}"
    yield f"  read from batch {revision.as_of} on; predictions and verdicts that stand are left as they are"


def _require_sealed(model: ModelFolder, stores: Stores, feed: Feed, batch: str) -> BatchRecord:
    if source_of(model, feed) is None:
        problem = f"labels: have no files of their own; valid: reingest the rows of batch {batch}"
        raise ConfigInvalid(str(model.path / "config.yaml"), [problem])
    for one in _feeds(model, feed):
        if stores.ledger.get(BatchRecord, f"{one}.{batch}") is None:
            raise NotReady(f"model {model.id}: {one} of batch {batch} are not sealed; validate them first")
    standing = stores.ledger.last(BatchRecord, f"{feed}.{batch}")
    assert standing is not None
    return standing


def _feeds(model: ModelFolder, feed: Feed) -> tuple[Feed, ...]:
    """The feeds that one arrival fills: labels may stand inside the rows."""
    inside = model.config.labels is not None and source_of(model, "labels") is None
    return ("rows", "labels") if feed == "rows" and inside else (feed,)


def _open_batch(ledger: Ledger, calendar: Calendar, batch: str) -> str:
    """The first batch of which nothing was decided yet: the one after the last claimed, or a later one's own."""
    claimed = ledger.last_batch(ClaimRecord, calendar)
    return max(batch, calendar.shift(claimed, 1)) if claimed else batch


def _differs(model: ModelFolder, stores: Stores, arrival: ArrivalRecord) -> bool:
    """Whether an arrival, sorted under today's rules, is anything but the revision before it."""
    for feed in _feeds(model, arrival.feed):
        standing = stores.ledger.get(BatchRecord, f"{feed}.{arrival.batch}", arrival.revision - 1)
        if standing is None:
            return True
        validated = validate_arrival(model, stores, feed, arrival)
        record = describe_validated(model, feed, arrival, validated, arrival.as_of)
        renumbered: dict[str, object] = {"as_of": arrival.as_of, "revision": arrival.revision, "brought": None}
        if validated.is_content(standing.content):
            # The same rows, though version 0.2.0 has hashed them.
            renumbered["content"] = record.content
        if record != standing.model_copy(update=renumbered):
            return True
    return False


def _seal_revision(model: ModelFolder, stores: Stores, arrival: ArrivalRecord) -> ReingestResult | None:
    """Sort an arrival, write and record it, and let it be read; each only if that was not done before.

    :returns: what it changes; None where all of it had been done.
    """
    ledger, feeds, done = stores.ledger, _feeds(model, arrival.feed), True
    before = sealed_batch(ledger, arrival.feed, arrival.batch)
    assert before is not None
    records = []
    for feed in feeds:
        record = ledger.get(BatchRecord, f"{feed}.{arrival.batch}", arrival.revision)
        if record is None:
            validated, done = validate_arrival(model, stores, feed, arrival), False
            as_of = _open_batch(ledger, model.config.calendar, arrival.batch)
            record = describe_validated(model, feed, arrival, validated, as_of)
            write_clean_and_quarantine(model, stores, record, validated)
            record = ledger.put(record)
        records.append(record)
    after, good = records[0], tuple(record.feed for record in records if record.state == "published")
    if after.state != "published":
        return None if done else ReingestResult(before, after, None, {})
    read = before.revision < after.revision
    result = _let_be_read(model, stores, before, after, good) if read else None
    for feed in good:
        text = f"{feed} of batch {after.batch} were taken in again and are sound, as revision {after.revision}"
        resolve_mended(model, ledger, feed, after.as_of, text)
    return result


def _let_be_read(
    model: ModelFolder, stores: Stores, before: BatchRecord, after: BatchRecord, feeds: tuple[Feed, ...]
) -> ReingestResult:
    keys = _compare(model, stores, before, after)
    as_of = _open_batch(stores.ledger, model.config.calendar, after.batch)
    record = RevisionRecord(
        as_of=as_of,
        n=0,
        feeds=feeds,
        batch=after.batch,
        revision=after.revision,
        added=len(keys["added"]),
        removed=len(keys["removed"]),
        changed=len(keys["changed"]),
    )
    standing = stores.ledger.put(record)
    while (standing.batch, standing.revision, standing.feeds) != (after.batch, after.revision, feeds):
        standing = stores.ledger.put(record.model_copy(update={"n": standing.n + 1}))
    return ReingestResult(before, after, standing, {what: found[:_SHOWN] for what, found in keys.items()})


def _compare(model: ModelFolder, stores: Stores, before: BatchRecord, after: BatchRecord) -> dict[str, list[str]]:
    """Keys of the rows that a revision adds, removes and changes, under today's names."""
    key = list(model.config.rows.key)
    old, new = (_read(model, stores, record).set_index(key).sort_index() for record in (before, after))
    both = old.index.intersection(new.index)
    left, right = old.loc[both].astype(object), new.loc[both].astype(object)
    equal = ((left == right) | (left.isna() & right.isna())).all(axis=1)
    found = {
        "added": new.index.difference(old.index),
        "removed": old.index.difference(new.index),
        "changed": both[~equal.to_numpy(dtype=bool)],
    }
    return {what: [_name(one) for one in keys] for what, keys in found.items()}


def _read(model: ModelFolder, stores: Stores, record: BatchRecord) -> pd.DataFrame:
    config = model.config
    columns = config.rows.columns if record.feed == "rows" else config.label_columns
    # A rejected or empty revision has no rows.
    if record.state != "published" or not record.clean:
        schema = pa.schema([(name, arrow_type(column)) for name, column in columns.items()])
        return to_frame(schema.empty_table())
    partition = partition_of(record)
    rows = stores.lake.read(partition, sort_order(config.data_schema))
    return to_frame(read_as(rows, columns, record.columns))


def _name(key: object) -> str:
    return "/".join(str(part) for part in key) if isinstance(key, tuple) else str(key)
