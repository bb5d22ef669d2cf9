"""Wait until a batch can be checked."""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context

from airflow_evergreen.hooks.tracking import MlflowHook
from airflow_evergreen.runtime import batch_of, load_model, locate, patience
from airflow_evergreen.sensors.waiting import WaitingSensor
from airflow_evergreen.triggers.batch import GRACE, BatchTrigger
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Refused
from evergreen.sources.landing import ProbeResult
from evergreen.sources.waiting import unordered, unscored, unsettled


class WaitForScoresSensor(WaitingSensor):
    """Wait, without a worker slot, until a batch is scored and its labels are sealed.

    The check before it is waited for too, for an hour: then this one covers its batches as well. For the rest it waits
    as long as the model folder waits for files, and a day longer; then it fails, naming what is lacking.
    Returns the batch.

    :param model_id: the model folder's name. (templated)
    :param batch: the batch, as in ``StepOperator``. (templated)
    :param mlflow_conn_id: as in ``StepOperator``.
    """

    template_fields = ("model_id", "batch")

    def __init__(
        self,
        *,
        model_id: str,
        batch: str | None = None,
        mlflow_conn_id: str = MlflowHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_id, self.batch, self.mlflow_conn_id = model_id, batch, mlflow_conn_id

    def as_of(self, model: ModelFolder, context: Context) -> str:
        """The batch that this task is for."""
        return batch_of(model, self.batch, context)

    def probe(self, context: Context, before: ProbeResult | None, started: datetime) -> dict[str, Any]:
        """Probe the ledger."""
        model = load_model(self.model_id)
        batch, limit = self.as_of(model, context), patience(model)
        at, now = locate(self.mlflow_conn_id), datetime.now(UTC)
        lacking = unsettled(model, at, batch) or unscored(model, at, batch)
        lacking = lacking or (unordered(model, at, batch) if now < started + GRACE else None)
        if lacking is None:
            return {"batch": batch}
        give_up = started + limit if limit is not None else None
        if give_up is not None and now >= give_up:
            # A retry would be as patient once more.
            raise Refused(f"model {model.id}: {lacking}")
        end, grace = give_up.isoformat() if give_up is not None else None, (started + GRACE).isoformat()
        trigger = BatchTrigger(batch, self.poke_interval, self.model_id, "scores", deadline=grace, give_up=end)
        self.wait_on(trigger, lacking, started)
