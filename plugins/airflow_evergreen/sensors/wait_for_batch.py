"""Wait for a batch of a model."""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context

from airflow_evergreen.hooks.tracking import MlflowHook
from airflow_evergreen.runtime import acting_for, batch_of, feed_of, load_model, locate, patience
from airflow_evergreen.sensors.waiting import WaitingSensor
from airflow_evergreen.triggers.batch import BatchTrigger
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import BatchMissing, NotReady, Refused
from evergreen.sources.landing import ProbeResult
from evergreen.sources.waiting import WaitResult


class WaitForBatchSensor(WaitingSensor):
    """Wait, without a worker slot, until a feed's batch is complete by the model folder's rules.

    If it does not come in its time, fail and declare it missing, so that later ones go on. Returns the batch and what
    was seen.

    :param model_id: the model folder's name. (templated)
    :param batch: the batch, as in ``StepOperator``. (templated)
    :param feed: ``rows`` or ``labels``. (templated)
    :param mlflow_conn_id: as in ``StepOperator``.
    """

    template_fields = ("model_id", "batch", "feed")

    def __init__(
        self,
        *,
        model_id: str,
        batch: str | None = None,
        feed: str = "rows",
        mlflow_conn_id: str = MlflowHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_id, self.batch, self.feed, self.mlflow_conn_id = model_id, batch, feed, mlflow_conn_id

    def as_of(self, model: ModelFolder, context: Context) -> str:
        """The batch that this task is for."""
        return batch_of(model, self.batch, context)

    def probe(self, context: Context, before: ProbeResult | None, started: datetime) -> dict[str, Any]:
        """Probe; past the time to wait, declare the batch missing."""
        from evergreen.steps.wait_for_batch import wait_for_batch

        model = load_model(self.model_id)
        batch, feed, limit = self.as_of(model, context), feed_of(self.feed), patience(model)
        give_up = started + limit if limit is not None else None
        try:
            with acting_for(context):
                result = wait_for_batch(model, locate(self.mlflow_conn_id), batch, datetime.now(UTC), before, feed)
        except NotReady as earlier:
            if give_up is not None and datetime.now(UTC) >= give_up:
                # A retry would be as patient once more.
                raise Refused(str(earlier)) from earlier
            result = WaitResult("waiting", "an earlier batch has to be processed first")
        if result.state == "missing":
            raise BatchMissing(
                f"model {model.id}: {feed} of batch {batch} did not come in their time: {result.why}. Declared "
                "missing; later batches go on. Deliver the files: they join the next open batch"
            )
        if result.state == "complete":
            return {"batch": batch, "seen": result.why}
        end = give_up.isoformat() if give_up is not None else None
        self.wait_on(BatchTrigger(batch, self.poke_interval, self.model_id, feed, give_up=end), result.why, started)
