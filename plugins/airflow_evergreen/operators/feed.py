"""What the operators of a model's feeds have in common."""

from typing import Any

from airflow_evergreen.operators.step import StepOperator
from evergreen.config.locations import Locations
from evergreen.errors import BatchRejected
from evergreen.records import BatchRecord
from evergreen.storage.revisions import sealed_batch
from evergreen.storage.stores import open_stores


class FeedOperator(StepOperator):
    """Run one step for one feed of a batch; the base of those that take in and validate.

    :param feed: ``rows`` or ``labels``. (templated)
    """

    template_fields = (*StepOperator.template_fields, "feed")

    def __init__(self, *, feed: str = "rows", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.feed = feed

    def outcome(self, at: Locations, record: BatchRecord) -> dict[str, Any]:
        """A sealed batch in numbers.

        :raises BatchRejected: if it was rejected: which file, which column, what was found, and what is read instead.
        """
        if record.state != "rejected":
            counts = {"rows_in": record.rows_in, "clean": record.clean, "quarantined": record.quarantined}
            return {"batch": record.batch, "state": record.state, **counts}
        read = sealed_batch(open_stores(at, self.model_id).ledger, record.feed, record.batch)
        instead, then = "nothing published", "Have the source mended; the loop goes on without it"
        if read is not None and read.state == "published":
            feed = " --feed labels" if record.feed == "labels" else ""
            instead = f"revision {read.revision} is read"
            then = f"Have the source mended, then: evergreen reingest {self.model_id} {record.batch}{feed}"
            if read.revision > record.revision:
                then = "It was mended since; nothing is to be done"
        number = f"revision {record.revision} of " if record.revision else ""
        reasons = "; ".join(f"{why.column or 'batch'}: {why.expectation}: {why.found}" for why in record.reasons[:5])
        files = ", ".join(file.name for file in record.files)
        raise BatchRejected(
            f"model {self.model_id}: {number}{record.feed} of batch {record.batch} rejected, {record.quarantined} rows "
            f"in quarantine, {instead}. {files}: {reasons}. {then}"
        )
