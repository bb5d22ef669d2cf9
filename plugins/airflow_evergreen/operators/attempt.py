"""What the operators of a retraining have in common."""

from typing import Any

from airflow.sdk import Context, XComArg
from airflow.sdk.exceptions import AirflowSkipException

from airflow_evergreen.operators.step import StepOperator
from airflow_evergreen.runtime import batch_of
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Refused
from evergreen.judging.attempts import DueAttempt, newest_verdict
from evergreen.storage.stores import open_stores


class AttemptOperator(StepOperator):
    """Run one step of an attempt; the base of the operators of ``<model>__retrain``.

    :param attempt: what ``AskRetrainingOperator`` returned: verdict, as_of, run. (templated)
    """

    template_fields: tuple[str, ...] = ("model_id", "attempt")

    def __init__(self, *, attempt: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.attempt = attempt

    @property
    def due(self) -> DueAttempt:
        """The attempt.

        :raises AirflowSkipException: if it waits for labels.
        :raises Refused: if ``AskRetrainingOperator`` has failed, and there is none.
        """
        if self.attempt is None:
            raise Refused(f"model {self.model_id}: no attempt to work on; see ask_retraining")
        if "waits" in self.attempt:
            raise AirflowSkipException(self.attempt["waits"])
        return DueAttempt(self.attempt["verdict"], self.attempt["as_of"])

    def as_of(self, model: ModelFolder, context: Context) -> str:
        """The batch at which the attempt is made."""
        return attempt_batch(model, self.attempt, context)


def attempt_batch(model: ModelFolder, attempt: Any, context: Context) -> str:
    """The batch of an attempt; where none was found, that of the newest check.

    :param attempt: what ``AskRetrainingOperator`` returned. After a kill, Airflow asks for it on a task whose
        fields are not rendered yet.
    """
    if isinstance(attempt, XComArg):
        attempt = attempt.resolve(context)
    if attempt:
        return batch_of(model, str(attempt["as_of"]), context)
    newest = newest_verdict(model.config, open_stores(Locations.from_environment(), model.id))
    return newest.as_of if newest is not None else model.config.calendar.name(0)
