"""Which batches brought labels: told by the ledger alone."""

from include.config.contract import ModelConfig
from include.records import BatchRecord, Feed
from include.storage.revisions import known_revisions, sealed_batches
from include.storage.stores import Stores


def label_batches(config: ModelConfig, stores: Stores, up_to: str, after: str | None = None) -> list[str]:
    """The batches that brought labels, up to one and after another, oldest first."""
    calendar = config.calendar
    first = calendar.index(after) + 1 if after is not None else 0
    span = [calendar.name(i) for i in range(first, calendar.index(up_to) + 1)]
    return [record.batch for record in sealed_batches(stores.ledger, feed_of(config), span, up_to) if _brought(record)]


def last_label_batches(config: ModelConfig, stores: Stores, up_to: str, n: int) -> list[str]:
    """The last n batches that brought labels, up to one, oldest first; fewer where there are not so many."""
    calendar, feed, found = config.calendar, feed_of(config), list[str]()
    revisions = known_revisions(stores.ledger, feed, up_to)
    for i in range(calendar.index(up_to), -1, -1):
        batch = calendar.name(i)
        record = stores.ledger.get(BatchRecord, f"{feed}.{batch}", revisions.get(batch, 0))
        if record is not None and _brought(record):
            found.append(batch)
            if len(found) == n:
                break
    return found[::-1]


def feed_of(config: ModelConfig) -> Feed:
    """The feed that is counted: labels, or the rows of a model without any."""
    return "rows" if config.labels == "none" else "labels"


def _brought(record: BatchRecord) -> bool:
    return record.state == "published" and record.clean > 0
