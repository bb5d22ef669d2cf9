"""Score a range of batches again."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from airflow_evergreen.runtime import who_triggered
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class RescoreBatchesOperator(StepOperator):
    """Make a further revision of the predictions of a range of batches; claims and verdicts stand.

    A run scores a batch again once, however often its task is cleared. Returns the batches, the rows that were
    scored, what became of each batch, and the same in a sentence. Parameters beside those of ``StepOperator``:

    :param first: the first batch. (templated)
    :param last: the last batch, itself included. (templated)
    :param version: the version; empty for the champion of each batch's time. (templated)
    :param why: why, for the record. (templated)
    """

    template_fields = ("model_id", "first", "last", "version", "why")

    def __init__(
        self,
        *,
        first: str = "{{ params.first }}",
        last: str = "{{ params.last }}",
        version: str = "{{ params.version or '' }}",
        why: str = "{{ params.why }}",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.first, self.last, self.version, self.why = first, last, version, why

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Score them."""
        from evergreen.steps.rescore_batches import describe_rescored, rescore_batches

        version, run = int(self.version) if self.version else None, context["dag_run"].run_id
        why = f"{who_triggered(context)}: {self.why}"
        results = rescore_batches(model, at, self.first, self.last, version, why, run)
        # A try that was killed has scored some: what counts is how they are read now.
        again = sum(one.standing.revision > 1 for one in results)
        batches, told = [one.batch for one in results], list(describe_rescored(results))
        span = self.first if self.first == self.last else f"{self.first} to {self.last}"
        outcome = f"{span}: {again} of {len(results)} batches read as scored again; {why}"
        return {"batches": batches, "rows": sum(one.rows for one in results), "told": told, "outcome": outcome}
