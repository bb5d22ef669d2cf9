"""Which batches brought labels: told by the ledger alone."""

from include.config.contract import ModelConfig
from include.records import BatchRecord, Feed
from include.storage.stores import Stores


def label_batches(config: ModelConfig, stores: Stores, up_to: str, after: str | None = None) -> list[str]:
    """The batches that brought labels, up to one and after another, oldest first."""
    calendar = config.calendar
    first = calendar.index(after) + 1 if after is not None else 0
    found = []
    for i in range(first, calendar.index(up_to) + 1):
        record = stores.ledger.get(BatchRecord, f"{feed_of(config)}.{calendar.name(i)}")
        if record is not None and record.state == "published" and record.clean > 0:
            found.append(record.as_of)
    return found


def last_label_batches(config: ModelConfig, stores: Stores, up_to: str, n: int) -> list[str]:
    """The last n batches that brought labels, up to one, oldest first; fewer where there are not so many."""
    calendar, found = config.calendar, list[str]()
    for i in range(calendar.index(up_to), -1, -1):
        record = stores.ledger.get(BatchRecord, f"{feed_of(config)}.{calendar.name(i)}")
        if record is not None and record.state == "published" and record.clean > 0:
            found.append(record.as_of)
            if len(found) == n:
                break
    return found[::-1]


def feed_of(config: ModelConfig) -> Feed:
    """The feed that is counted: labels, or the rows of a model without any."""
    return "rows" if config.labels == "none" else "labels"
