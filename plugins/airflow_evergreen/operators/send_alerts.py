"""Tell of incidents."""

from contextlib import suppress
from typing import Any

from airflow.sdk import Context

from airflow_evergreen.alerts import resolve_failure, tell_incidents
from airflow_evergreen.operators.attempt import attempt_batch
from airflow_evergreen.operators.step import StepOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Refused
from evergreen.storage.stores import stores_of


class SendAlertsOperator(StepOperator):
    """Tell the log, Slack and ``alerts.http`` what they have not been told yet.

    A sink that does not answer delays nothing: the next run tells it. Backfills tell nothing of their own: what they
    have found stands in the ledger, and the next live run tells it. Returns how much was told, how much was not
    accepted, and what the run has come to. Parameters: see ``StepOperator``.

    :param failure: the incident that a failed task of this run opens, and that this run resolves if it has none.
    :param attempt: in a retraining, what ``AskRetrainingOperator`` returned. (templated)
    """

    template_fields = (*StepOperator.template_fields, "attempt")

    def __init__(self, *, failure: str | None = None, attempt: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.failure, self.attempt, self.retraining = failure, attempt, attempt is not None

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Tell."""
        if self.failure is not None:
            # A run for no batch, by a slip in a Param, has failed tasks that are told; it closes nothing.
            with suppress(Refused):
                resolve_failure(model, at, self.failure, self.as_of(model, context), context)
        run: Any = context["dag_run"]
        told = {"told": 0, "failed": 0} if run.run_type == "backfill" else tell_incidents(model, at)
        outcome = self._tell_outcome(model, at, context)
        return told | ({"outcome": outcome} if outcome else {})

    def _tell_outcome(self, model: ModelFolder, at: Locations, context: Context) -> str:
        """What the run has come to, in the sentence that becomes its note; empty where nothing is on record."""
        from evergreen.replay.outcome import tell_attempt, tell_batch, tell_check

        stores = stores_of(model, at)
        if self.retraining:
            return tell_attempt(stores, str(self.attempt["verdict"])) if self.attempt else ""
        tell = {"failed-batch": tell_batch, "failed-drift": tell_check}.get(self.failure or "")
        with suppress(Refused):
            return tell(model, stores, self.as_of(model, context)) if tell is not None else ""
        return ""

    def as_of(self, model: ModelFolder, context: Context) -> str:
        """The batch of the run, or of its attempt."""
        if self.retraining:
            return attempt_batch(model, self.attempt, context)
        return super().as_of(model, context)
