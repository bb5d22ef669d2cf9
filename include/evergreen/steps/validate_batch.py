"""Validate what was taken in for a batch."""

from evergreen.checks.deliveries import DELIVERED_ONCE
from evergreen.checks.quarantine import WHOLE_FILE
from evergreen.checks.sealing import seal
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.incidents import FAULT, STALE, report, resolve
from evergreen.records import BatchRecord, Feed
from evergreen.sources.intake import source_of
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
    # A batch whose rows were rejected takes the labels inside it along; one incident tells of both.
    if source_of(model, feed) is not None or record.state == "published":
        _tell(model, at, feed, record)
    return record


def _tell(model: ModelFolder, at: Locations, feed: Feed, record: BatchRecord) -> None:
    """Open or resolve the incidents that a sealed batch stands for."""
    ledger = stores_of(model, at).ledger
    if record.state == "published":
        resolve(ledger, STALE[feed], record.as_of, f"{feed} of batch {record.as_of} have come")
    fault = describe_fault(model, record)
    if fault:
        report(ledger, FAULT[feed], record.as_of, fault)
    elif record.state == "published":
        resolve(ledger, FAULT[feed], record.as_of, f"{feed} of batch {record.as_of} are sound again")


def describe_fault(model: ModelFolder, record: BatchRecord) -> str:
    """What is wrong with a sealed batch, for whoever has to mend it; empty if nothing is.

    A batch may be published and yet be told of: a file of it was delivered before or may have been cut, or half as many
    rows failed as would have rejected it.
    """
    config = model.config
    limit = config.rows.max_quarantined
    if record.feed == "labels" and config.labels is not None:
        limit = config.labels.max_quarantined
    odd = any(reason.expectation in (DELIVERED_ONCE, WHOLE_FILE) for reason in record.reasons)
    many = record.quarantined > limit / 2 * record.rows_in
    if record.state == "missing" or not (record.state == "rejected" or odd or many):
        return ""
    reasons = [f"{reason.column or 'batch'}: {reason.expectation}: {reason.found}" for reason in record.reasons[:5]]
    files = ", ".join(file.name for file in record.files)
    lead = f"{model.id}: {record.feed} of batch {record.batch}"
    if record.state == "rejected":
        lead += f" rejected, {record.quarantined} rows in quarantine, nothing published, champion untouched"
    else:
        lead += f": {record.quarantined} of {record.rows_in} rows in quarantine, {record.clean} published"
    feed = " --feed labels" if record.feed == "labels" else ""
    again = (
        f"Have the source mended, or mend what is wrong here, then: evergreen reingest {model.id} {record.batch}{feed}"
    )
    return f"{lead}. {files}: {'; '.join(reasons)}. {again}"
