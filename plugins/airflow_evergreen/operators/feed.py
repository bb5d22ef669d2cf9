"""What the operators of a model's feeds have in common."""

from typing import Any

from airflow_evergreen.operators.step import StepOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
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

    def outcome(self, model: ModelFolder, at: Locations, record: BatchRecord) -> dict[str, Any]:
        """A sealed batch in numbers.

        :raises BatchRejected: if it was rejected: which file, which column, what was found, and what is read instead.
        """
        from evergreen.steps.validate_batch import describe_fault

        if record.state == "rejected":
            read = sealed_batch(open_stores(at, model.id).ledger, record.feed, record.batch)
            fault = describe_fault(model, record, read)
            raise BatchRejected(f"model {fault.told if fault else model.id}")
        counts = {"rows_in": record.rows_in, "clean": record.clean, "quarantined": record.quarantined}
        return {"batch": record.batch, "state": record.state, **counts}
