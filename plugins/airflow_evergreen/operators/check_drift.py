"""Check the champion."""

from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_evergreen.links import EvidentlyLink, ModelLink, OutcomeLink
from airflow_evergreen.operators.step import StepOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class CheckDriftOperator(StepOperator):
    """Check freshness, inputs, predictions and outcomes since the last check, and say whether to retrain.

    Skipped between two checks, where ``check.every`` is more than one batch. Returns the verdict: its id, states,
    reasons and action, which inputs drifted, and the error with the rows that it is of. Parameters: see
    ``StepOperator``.
    """

    reads = ("rows", "labels", "predictions", "model")
    operator_extra_links = (OutcomeLink(), EvidentlyLink(), ModelLink())

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Check."""
        from evergreen.steps.check_drift import check_drift

        batch, config = self.as_of(model, context), model.config
        left = -(config.calendar.index(batch) + 1) % config.check.every
        if left:
            following = config.calendar.shift(batch, left)
            raise AirflowSkipException(f"checked every {config.check.every} batches; the next check is at {following}")
        verdict = check_drift(model, at, batch)
        states = {name: section.state for name, section in verdict.sections.items()}
        told = {"verdict": verdict.id, **states, "reasons": list(verdict.reasons), "action": verdict.action}
        seen = verdict.outcomes.numbers
        numbers = {"error": seen.get("error"), "error_at_first": seen.get("at_first"), "rows": seen.get("rows")}
        told |= {name: number for name, number in numbers.items() if number is not None}
        told |= {"drifted": drifted} if (drifted := verdict.inputs.numbers.get("drifted")) else {}
        return told | ({"drawn": batch} if config.check.draws(verdict.inputs.state) else {})
