"""Which batches brought labels: told by the ledger alone."""

import itertools
from collections.abc import Iterator

from evergreen.batches import Calendar
from evergreen.config.contract import Window
from evergreen.config.data_schema import DataSchema
from evergreen.records import BatchRecord, Feed
from evergreen.storage.ledger import Ledger
from evergreen.storage.revisions import known_revisions, sealed_batches
from evergreen.storage.stores import Stores


def label_records(schema: DataSchema, stores: Stores, up_to: str, after: str | None = None) -> Iterator[BatchRecord]:
    """The batches that brought labels, up to one and after another, newest first: who needs few reads few."""
    return records_with_rows(stores.ledger, schema.calendar, feed_of(schema), up_to, after)


def label_batches(schema: DataSchema, stores: Stores, up_to: str, after: str | None = None) -> list[str]:
    """The batches that brought labels, up to one and after another, oldest first."""
    return [record.batch for record in label_records(schema, stores, up_to, after)][::-1]


def last_label_batches(
    schema: DataSchema, stores: Stores, up_to: str, n: int, before: str | None = None, after: str | None = None
) -> list[str]:
    """The last batches that brought the labels of n batches, up to one, oldest first; fewer if there are not so many.

    As a rule that is n of them. Labels that come in bulk bring those of several batches at once, and count as many:
    else a window of four would be four months where labels come once a month.

    :param before: counts only those before this batch, all in the revisions known at ``up_to``.
    :param after: counts only those after this batch.
    """
    taken: list[str] = []
    counted = 0
    records = (one for one in label_records(schema, stores, up_to, after) if before is None or one.batch < before)
    for newer, older in itertools.pairwise(itertools.chain(records, [None])):
        if newer is None or counted >= n:
            break
        taken.append(newer.batch)
        counted += _worth(schema, stores, newer, older, n - counted)
    return taken[::-1]


def newest_label_batches(schema: DataSchema, stores: Stores, up_to: str, rows: int, fewest: int = 1) -> list[str]:
    """The newest batches that brought so many labels together, oldest first; all there are where they are fewer.

    :param rows: labels, as the records count them.
    :param fewest: batches at least.
    """
    taken: list[str] = []
    for record in label_records(schema, stores, up_to):
        taken.append(record.batch)
        rows -= record.clean
        if rows <= 0 and len(taken) >= fewest:
            break
    return taken[::-1]


def _worth(schema: DataSchema, stores: Stores, labels: BatchRecord, older: BatchRecord | None, most: int) -> int:
    """How many batches' labels a batch brought: no more than have passed since the one before that brought any.

    Their number tells a bulk or a backlog from a gap in which labels were lost: after that, the labels of one batch are
    worth one.

    :param most: beyond which nobody asks.
    """
    since = schema.calendar.index(older.batch) if older is not None else -1
    most = min(most, schema.calendar.index(labels.batch) - since)
    if most <= 1:
        return 1
    passed = schema.calendar.between(schema.calendar.shift(labels.batch, 1 - most), labels.batch)
    clean = [record.clean for record in sealed_batches(stores.ledger, "rows", passed, labels.batch) if record.has_rows]
    return max(1, min(most, labels.clean * len(clean) // sum(clean))) if clean else 1


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


def feed_of(schema: DataSchema) -> Feed:
    """The feed that is counted: labels, or the rows of a model without any."""
    return "rows" if schema.labels is None else "labels"


def training_span(
    schema: DataSchema, stores: Stores, as_of: str, window: Window, before: str | None = None
) -> tuple[str, str] | None:
    """First and last label batch that a model learns from; None where there is none.

    :param before: only those before this batch.
    """
    batches = last_label_batches(schema, stores, as_of, 1 if window == "all" else window, before=before)
    if not batches:
        return None
    # A window that reaches back to the first label is all of the past, by the same name.
    whole = window == "all" or next(label_records(schema, stores, schema.calendar.shift(batches[0], -1)), None) is None
    return (schema.calendar.name(0) if whole else batches[0]), batches[-1]
