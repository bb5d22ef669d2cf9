"""What the operators of a retraining have in common."""

from typing import Any

from airflow.sdk import Context

from evergreen.operators.step import StepOperator
from include.config.model_folder import ModelFolder
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
        """The attempt."""
        return DueAttempt(self.attempt["verdict"], int(self.attempt["number"]), self.attempt["as_of"])

    def as_of(self, model: ModelFolder, context: Context) -> str:
        """The batch at which the attempt is made."""
        return str(self.attempt["as_of"])
