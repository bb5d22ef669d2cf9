"""Let a version answer online beside the champion."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from airflow_evergreen.runtime import who_triggered
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class TryChallengerOperator(StepOperator):
    """Begin or end the experiment of a challenger on online traffic, for a person.

    Returns the challenger, its state and share, and the same in a sentence. Parameters beside those of
    ``StepOperator``:

    :param challenger: the version; empty to let the champion answer alone again. (templated)
    :param why: why, for the record. (templated)
    """

    template_fields = ("model_id", "challenger", "why")

    def __init__(
        self,
        *,
        challenger: str = "{{ params.challenger or '' }}",
        why: str = "{{ params.why }}",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.challenger, self.why = challenger, why

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Begin or end it."""
        from evergreen.replay.status import describe_arms
        from evergreen.steps.judge_arms import begin_arms, end_arms

        why = f"{who_triggered(context)}: {self.why}"
        record = begin_arms(model, at, int(self.challenger), why) if self.challenger else end_arms(model, at, why)
        outcome = next(describe_arms(model, at))
        return {"challenger": record.challenger, "state": record.state, "share": record.share, "outcome": outcome}
