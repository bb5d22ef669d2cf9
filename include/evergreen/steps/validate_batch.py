"""Validate what was taken in for a batch."""

from functools import partial

from evergreen.checks.deliveries import DELIVERED_ONCE
from evergreen.checks.failing_rows import WHOLE_FILE
from evergreen.checks.sealing import seal
from evergreen.config.feeds_config import FilesConfig
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.incidents import FAULT, STALE, report, resolve
from evergreen.records import BatchRecord, Feed, Words
from evergreen.sources.intake import source_of
from evergreen.sources.landing import group_files
from evergreen.storage.ledger import Ledger
from evergreen.storage.revisions import sealed_batch, sealed_batches
from evergreen.storage.stores import stores_of


def validate_batch(model: ModelFolder, at: Locations, batch: str, feed: Feed = "rows") -> BatchRecord | None:
    """Tell clean rows from the others and seal the feed's batch: published, or rejected as a whole.

    Keys of labels are matched when the labels are read, not here.

    :returns: the sealed record; None for the labels of a model without any.
    :raises NotReady: if the batch has not been ingested.
    :raises ConfigInvalid: if an expectation does not fit the declared columns.
    """
    if feed == "labels" and model.config.labels is None:
        return None
    record = seal(model, at, feed, batch)
    ledger = stores_of(model, at).ledger
    rows = ledger.get(BatchRecord, f"rows.{batch}")
    # A batch whose rows were rejected takes the labels inside it along; one incident tells of both.
    if source_of(model, feed) is not None or (rows is not None and rows.state == "published"):
        fault, before = describe_fault(model, record), model.config.calendar.shift(batch, -1)
        if fault:
            report(ledger, FAULT[feed], batch, fault, lost=batch if record.state == "rejected" else "", before=before)
        resolve_mended(model, ledger, feed, batch, f"{feed} of batch {batch} are sound")
    return record


def resolve_mended(model: ModelFolder, ledger: Ledger, feed: Feed, as_of: str, text: str) -> None:
    """Close a feed's incidents that are over: its newest batch is sound, and no earlier one is lost any more.

    :param as_of: the batch at which something was mended; that the newest one counts if it is later.
    """
    newest = ledger.last_batch(BatchRecord, model.config.calendar, f"{feed}.")
    record = sealed_batch(ledger, feed, newest) if newest else None
    if newest is None or record is None or record.state != "published":
        return
    mended, as_of = partial(_is_mended, model, ledger, feed), max(as_of, newest)
    resolve(ledger, STALE[feed], as_of, text, mended)
    if not describe_fault(model, record):
        resolve(ledger, FAULT[feed], as_of, text, mended)


def _is_mended(model: ModelFolder, ledger: Ledger, feed: Feed, batch: str) -> bool:
    """Whether a batch that was lost is there: it was taken in again, or its files came with a later one."""
    sealed, source, calendar = sealed_batch(ledger, feed, batch), source_of(model, feed), model.config.calendar
    if sealed is None or sealed.state != "missing" or not isinstance(source, FilesConfig):
        return sealed is not None and sealed.state == "published"
    later = sealed_batches(ledger, feed, calendar.between(batch, calendar.shift(batch, source.late))[1:])
    names = (file.name for one in later if one.state == "published" for file in one.files)
    return batch in group_files(names, source, calendar)


def describe_fault(model: ModelFolder, record: BatchRecord, read: BatchRecord | None = None) -> Words | None:
    """What is wrong with a sealed batch, for whoever has to mend it; None if nothing is.

    A batch may be published and yet be told of: a file of it was delivered before or may have been cut, or half as many
    rows failed as would have rejected it.

    :param read: the record by which the batch is read.
    """
    config = model.config
    limit = config.rows.max_quarantined
    if record.feed == "labels" and config.labels is not None:
        limit = config.labels.max_quarantined
    odd = any(reason.expectation in (DELIVERED_ONCE, WHOLE_FILE) for reason in record.reasons)
    many = record.quarantined > limit / 2 * record.rows_in
    if record.state == "missing" or not (record.state == "rejected" or odd or many):
        return None
    reasons = [f"{reason.column or 'batch'}: {reason.expectation}: {reason.found}" for reason in record.reasons[:5]]
    files = ", ".join(file.name for file in record.files)
    lead = f"{model.id}: {f'revision {record.revision} of ' if record.revision else ''}{record.feed} of batch "
    command = tell_reingest(model, record.feed, record.batch)
    todo = f"Have the source mended, or mend what is wrong here, then: {command}"
    found = f"{files}: {'; '.join(reasons)}."
    if record.state != "rejected":
        counts = f"{record.quarantined} of {record.rows_in} rows in quarantine, {record.clean} published."
        done = "What was published counts; what is in quarantine reaches no training."
        return Words(f"{lead}{record.batch}: {counts} {found}", done, todo)
    done = "Nothing of it was published or scored, the champion is untouched, and later batches go on."
    if read is not None and read.state == "published":
        done = f"Revision {read.revision} is read in its place."
        todo = "It was mended since; nothing is to be done." if read.revision > record.revision else todo
    return Words(f"{lead}{record.batch} rejected, {record.quarantined} rows in quarantine. {found}", done, todo)


def tell_reingest(model: ModelFolder, feed: Feed, batch: str) -> str:
    """The command that takes a batch in again; labels inside the rows come with them."""
    apart = feed == "labels" and source_of(model, "labels") is not None
    return f"evergreen reingest {model.id} {batch}{' --feed labels' if apart else ''}"
