"""Which batches brought labels: told by the ledger alone."""

import itertools
from collections.abc import Iterator

from include.batches import Calendar
from include.config.contract import ModelConfig
from include.records import BatchRecord, Feed
from include.storage.ledger import Ledger
from include.storage.revisions import known_revisions
from include.storage.stores import Stores


def label_records(config: ModelConfig, stores: Stores, up_to: str, after: str | None = None) -> Iterator[BatchRecord]:
    """The batches that brought labels, up to one and after another, newest first: who needs few reads few."""
    return records_with_rows(stores.ledger, config.calendar, feed_of(config), up_to, after)


def label_batches(config: ModelConfig, stores: Stores, up_to: str, after: str | None = None) -> list[str]:
    """The batches that brought labels, up to one and after another, oldest first."""
    return [record.batch for record in label_records(config, stores, up_to, after)][::-1]


def last_label_batches(config: ModelConfig, stores: Stores, up_to: str, n: int) -> list[str]:
    """The last n batches that brought labels, up to one, oldest first; fewer where there are not so many."""
    return [record.batch for record in itertools.islice(label_records(config, stores, up_to), n)][::-1]


def records_with_rows(
    ledger: Ledger, calendar: Calendar, feed: Feed, up_to: str, after: str | None = None
) -> Iterator[BatchRecord]:
    """The batches of a feed that were published with rows, newest first, each in the revision known at ``up_to``.

    Those between them are passed over, by what the first revision of each says.
    """
    revisions = known_revisions(ledger, feed, up_to)
    batch = up_to
    while batch and calendar.index(batch) >= 0 and (after is None or batch > after):
        first = ledger.get(BatchRecord, f"{feed}.{batch}")
        revision = revisions.get(batch, 0)
        record = ledger.get(BatchRecord, f"{feed}.{batch}", revision) if revision else first
        if record is not None and record.has_rows:
            yield record
        noted = first.brought if first is not None else None
        following = calendar.shift(batch, -1) if noted is None or noted == batch else noted
        # A later revision may have brought rows of a batch that had none.
        batch = max([following, *(one for one in revisions if one < batch)])


def feed_of(config: ModelConfig) -> Feed:
    """The feed that is counted: labels, or the rows of a model without any."""
    return "rows" if config.labels == "none" else "labels"
