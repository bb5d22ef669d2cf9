"""Validate the rows of a batch."""

from include.checks.sealing import seal
from include.config.locations import Locations
from include.config.model_folder import ModelFolder
from include.incidents import FAULT, STALE, report, resolve
from include.records import BatchRecord, Feed
from include.storage.stores import open_stores


def validate_batch(model: ModelFolder, at: Locations, batch: str) -> BatchRecord:
    """Tell clean rows from the others and seal the batch: published, or rejected as a whole.

    :raises NotReady: if the batch has not been ingested.
    :raises ConfigInvalid: if an expectation does not fit the declared columns.
    """
    record = seal(model, at, "rows", batch)
    tell(model, at, "rows", record)
    return record


def tell(model: ModelFolder, at: Locations, feed: Feed, record: BatchRecord) -> None:
    """Open or resolve the incidents that a sealed batch stands for."""
    ledger = open_stores(at, model.id).ledger
    if record.state == "published":
        resolve(ledger, FAULT[feed], record.as_of, f"{feed} of batch {record.as_of} are sound again")
        resolve(ledger, STALE[feed], record.as_of, f"{feed} of batch {record.as_of} have come")
    if record.state == "rejected":
        told = [f"{reason.column or 'batch'}: {reason.expectation}: {reason.found}" for reason in record.reasons[:5]]
        files = ", ".join(file.name for file in record.files)
        text = (
            f"{model.id}: {feed} of batch {record.as_of} rejected, {record.quarantined} rows in quarantine, nothing "
            f"published, champion untouched. {files}: {'; '.join(told)}. Have the source mended."
        )
        report(ledger, FAULT[feed], record.as_of, text)
