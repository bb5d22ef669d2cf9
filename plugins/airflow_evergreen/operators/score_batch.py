"""Score a batch."""

from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_evergreen.operators.step import StepOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import BatchMissing, BatchRejected


class ScoreBatchOperator(StepOperator):
    """Claim a batch for the champion of that time and write its predictions.

    Skipped where nobody can score, as before the first promotion. Fails, without a retry, where the batch was rejected
    or is missing: nobody has scored it, which is on record, and the loop goes on. Returns the batch, the version, its
    promotion and the rows scored. Parameters: see ``StepOperator``.
    """

    reads = ("rows", "model")

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Score."""
        from evergreen.steps.score_batch import score_batch

        scored = score_batch(model, at, self.as_of(model, context))
        claim = scored.claim
        if claim.version is None:
            why = f"model {model.id}: batch {claim.as_of} was scored by nobody: {claim.why}"
            match claim.unscored:
                case "rejected":
                    raise BatchRejected(f"{why}. See validate_batch")
                case "missing":
                    raise BatchMissing(f"{why}. Deliver its files: they join the next open batch")
                case _:
                    raise AirflowSkipException(why)
        told = {"batch": claim.as_of, "version": claim.version, "promotion": claim.promotion, "rows": scored.rows}
        return told | ({"removed": scored.removed} if scored.removed else {})
