"""Take a sealed batch in again."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.assets import product_of
from airflow_evergreen.operators.feed import FeedOperator
from airflow_evergreen.runtime import feed_of
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class ReingestBatchOperator(FeedOperator):
    """Make a further revision of a batch from what is there now; fail, without a retry, if that is rejected as a whole.

    Returns the batch, its revision and state, rows clean and in quarantine, and how many were added, removed and
    changed, and the same in a sentence. Parameters beside those of ``StepOperator``:

    :param feed: ``rows`` or ``labels``. (templated)
    """

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Take it in again."""
        from evergreen.sources.intake import probe_beforehand
        from evergreen.steps.reingest_batch import describe_result, reingest_batch

        batch, feed = self.as_of(model, context), feed_of(self.feed)
        # Which feed it is stands in the run's Params, while outlets are declared with the DAG.
        self.outlets = [one for one in self.outlets if product_of(one) in (None, (model.id, feed))]
        result = reingest_batch(model, at, batch, feed, probe_beforehand(model, at, feed, batch))
        said = next(describe_result(result))
        changes = {what: getattr(result.revision, what, 0) for what in ("added", "removed", "changed")}
        return {**self.outcome(model, at, result.after), "revision": result.after.revision, **changes, "outcome": said}
