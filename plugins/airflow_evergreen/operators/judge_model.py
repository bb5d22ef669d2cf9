"""Judge a challenger."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.links import MlflowLink, ModelLink, OutcomeLink
from airflow_evergreen.operators.attempt import AttemptOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder

_NUMBERS = {"metric", "rows", "champion", "challenger", "improvement", "lower", "upper", "expected", "worse"}


class JudgeModelOperator(AttemptOperator):
    """Judge a challenger against the champion on later labels that neither was trained on, and record the attempt.

    Returns the outcome (passed, refused, needs approval), why, the numbers, and the challenger's page in MLflow.
    Parameters: see ``AttemptOperator``.

    :param trained: what ``TrainModelOperator`` returned. (templated)
    """

    template_fields = (*AttemptOperator.template_fields, "trained")
    reads = ("rows", "labels", "model")
    operator_extra_links = (MlflowLink(), OutcomeLink(), ModelLink())

    def __init__(self, *, trained: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trained = trained

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Judge."""
        from evergreen.judging.attempts import TrainResult
        from evergreen.steps.judge_model import judge_model

        said, span = dict(self.trained), self.trained["trained_on"]
        page = said.pop("page", "")
        trained = TrainResult(**{**said, "trained_on": (span[0], span[1]) if span else None})
        record = judge_model(model, at, self.due, trained)
        judged = record.judgement
        numbers = judged.model_dump(include=_NUMBERS) if judged else {}
        told = {"attempt": record.id, "outcome": record.outcome, "why": record.why, **numbers}
        return told | ({"page": page} if page else {})
