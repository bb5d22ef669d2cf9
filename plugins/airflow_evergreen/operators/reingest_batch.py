"""Take a sealed batch in again."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from airflow_evergreen.operators.validate_batch import outcome
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class ReingestBatchOperator(StepOperator):
    """Make a further revision of a batch from what is there now; fail, without a retry, if that is rejected as a whole.

    Returns the batch, its revision and state, rows clean and in quarantine, and how many were added, removed and
    changed. Parameters beside those of ``StepOperator``:

    :param feed: ``rows`` or ``labels``. (templated)
    """

    template_fields = (*StepOperator.template_fields, "feed")

    def __init__(self, *, feed: str = "rows", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.feed = feed

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Take it in again."""
        from evergreen.sources.intake import look_beforehand
        from evergreen.steps.reingest_batch import reingest_batch

        batch, feed = self.as_of(model, context), self.feed
        result = reingest_batch(model, at, batch, feed, look_beforehand(model, at, feed, batch))  # type: ignore[arg-type]
        changes = {what: getattr(result.revision, what, 0) for what in ("added", "removed", "changed")}
        return {**outcome(model, result.after), "batch": batch, "revision": result.after.revision, **changes}
