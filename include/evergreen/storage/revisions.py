"""Which revision of a batch is read: the newest one that had been made by then; and which scores of it."""

from evergreen.records import BatchRecord, ClaimRecord, Feed, Partition, RescoreRecord, RevisionRecord
from evergreen.storage.ledger import Ledger
from evergreen.storage.removals import tell_removed
from evergreen.storage.stores import Stores


def known_revisions(ledger: Ledger, feed: Feed, as_of: str | None = None) -> dict[str, int]:
    """The batches that were in a revision above 0 by a batch, and in which.

    Kept in a row of their own, so that reading a batch costs no look for a revision that hardly ever is there.

    :param as_of: None counts all that there are by now.
    """
    made = ledger.all(RevisionRecord, "batches")
    return {one.batch: one.revision for one in made if feed in one.feeds and (as_of is None or one.as_of <= as_of)}


def sealed_batches(ledger: Ledger, feed: Feed, batches: list[str], as_of: str | None = None) -> list[BatchRecord]:
    """The records of those of the batches that are sealed, each in the revision known at a batch."""
    revisions = known_revisions(ledger, feed, as_of)
    records = [ledger.get(BatchRecord, f"{feed}.{batch}", revisions.get(batch, 0)) for batch in batches]
    return [record for record in records if record is not None]


def sealed_batch(ledger: Ledger, feed: Feed, batch: str, as_of: str | None = None) -> BatchRecord | None:
    """The record of one batch in the revision known at a batch, or None."""
    return next(iter(sealed_batches(ledger, feed, [batch], as_of)), None)


def record_of(ledger: Ledger, partition: Partition) -> BatchRecord | None:
    """The record by which a partition was sealed."""
    feed: Feed = "labels" if partition.table == "labels" else "rows"
    return ledger.get(BatchRecord, f"{feed}.{partition.batch}", partition.revision)


def known_scores(ledger: Ledger, as_of: str | None = None) -> dict[str, ClaimRecord]:
    """By batch that was scored again, the newest scores that had been made by a batch; None counts all by now.

    The loop itself goes by the claims, whose scores were made before the labels came; these are for readers.
    """
    made = ledger.all(RescoreRecord, "batches")
    return {one.batch: one.scores for one in made if as_of is None or one.as_of <= as_of}


def scored_partition(claim: ClaimRecord) -> Partition:
    """The partition of what was predicted for a claimed batch."""
    return Partition(table="predictions", batch=claim.as_of, revision=claim.revision, content=claim.data)


def is_scored(stores: Stores, claim: ClaimRecord) -> bool:
    """Whether what a claim asks for was predicted; it may be removed since."""
    made = stores.lake.read_any("predictions", claim.as_of, claim.revision, 1).num_rows
    return bool(made) or bool(tell_removed(stores.ledger, [scored_partition(claim)]))
