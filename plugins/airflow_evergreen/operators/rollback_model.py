"""Go back to an older version."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.hooks.tracking import MlflowHook
from airflow_evergreen.operators.step import StepOperator
from airflow_evergreen.runtime import who_triggered
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.storage.stores import stores_of


class RollbackModelOperator(StepOperator):
    """Put an older version in force again; fail, with the judgement, where the gate would refuse it.

    A run goes back once, however often its task is cleared. Returns promotion, version, the first batch that it scores,
    its page in MLflow, and the same in a sentence. Parameters beside those of ``StepOperator``:

    :param version: the version; empty for the one before the champion. (templated)
    :param why: why, for the record. (templated)
    :param even_if_worse: ``True`` to go back where the gate would refuse. (templated)
    """

    template_fields = ("model_id", "version", "why", "even_if_worse")
    reads = ("rows", "labels", "model")

    def __init__(
        self,
        *,
        version: str = "{{ params.version or '' }}",
        why: str = "{{ params.why }}",
        even_if_worse: str = "{{ params.even_if_worse }}",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.version, self.why, self.even_if_worse = version, why, even_if_worse

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Go back."""
        from evergreen.steps.rollback_model import roll_back

        version, run = int(self.version) if self.version else None, context["dag_run"].run_id
        why = f"{who_triggered(context)}: {self.why}"
        promotion = roll_back(model, at, run, version, why, self.even_if_worse == "True")
        path = stores_of(model, at).models.pages.version_path(promotion.version)
        page = MlflowHook(self.mlflow_conn_id).page(at, path)
        return {
            "promotion": promotion.number,
            "version": promotion.version,
            "effective_from": promotion.effective_from,
            "page": page,
            "outcome": f"v{promotion.version} serves from {promotion.effective_from} again; {why}",
        }
