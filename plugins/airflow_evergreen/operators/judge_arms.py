"""Judge who answers online beside the champion."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class JudgeArmsOperator(StepOperator):
    """Begin, judge or end the experiment of a challenger on online traffic.

    Returns the challenger, its share and why; nothing where there never was one. Parameters: see ``StepOperator``.
    """

    reads = ("rows", "labels", "model")

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Judge."""
        from evergreen.steps.judge_arms import judge_arms

        record = judge_arms(model, at, self.as_of(model, context))
        if record is None:
            return {}
        told = {"challenger": record.challenger, "state": record.state, "share": record.share}
        return told | {"decided_at": record.as_of, "why": record.why}
