"""Close a verdict that has been answered."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.attempt import AttemptOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotReady, Refused


class CloseVerdictOperator(AttemptOperator):
    """Close the verdict that an attempt answered, if it is answered; fail if no judgement came of this run.

    Returns the verdict and how it closed, or that it stays open. Parameters: see ``AttemptOperator``.
    """

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Close."""
        from evergreen.steps.close_verdict import close_verdict

        due = self.due
        try:
            closing = close_verdict(model, at, due, int(self.attempt["run"]))
        except NotReady as failed:
            # A task before this one has failed for good; waiting in this run would not mend it. The watch starts
            # the next run of the attempt.
            raise Refused(str(failed)) from failed
        if closing is None:
            return {"verdict": due.verdict, "outcome": "stays open"}
        return {"verdict": closing.verdict, "outcome": closing.outcome, "why": closing.why}
