"""What the operators of a retraining have in common."""

from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from evergreen.operators.step import StepOperator
from include.config.model_folder import ModelFolder
from include.errors import Refused
from include.judging.attempts import DueAttempt


class AttemptOperator(StepOperator):
    """Run one step of an attempt; the base of the operators of ``<model>__retrain``.

    :param attempt: what ``AskRetrainingOperator`` returned: verdict, number, as_of, run. (templated)
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
        if self.attempt["number"] is None:
            raise AirflowSkipException(self.attempt["waits"])
        return DueAttempt(self.attempt["verdict"], int(self.attempt["number"]), self.attempt["as_of"])

    def as_of(self, model: ModelFolder, context: Context) -> str:
        """The batch at which the attempt is made."""
        return str(self.attempt["as_of"])
