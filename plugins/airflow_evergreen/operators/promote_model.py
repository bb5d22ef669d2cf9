"""Promote a registered version."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.attempt import AttemptOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class PromoteModelOperator(AttemptOperator):
    """Put a version in force, if nobody was faster, and let MLflow's alias say so.

    Returns the promotion that stands: number, version, the attempt it came of, the first batch it scores. Parameters:
    see ``AttemptOperator``.

    :param registered: what ``RegisterModelOperator`` returned. (templated)
    """

    template_fields = (*AttemptOperator.template_fields, "registered")
    reads = ("rows", "labels")

    def __init__(self, *, registered: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.registered = registered

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Promote."""
        from evergreen.steps.promote_model import promote_model

        standing = promote_model(model, at, self.due, int(self.registered["version"]))
        promoted = standing.model_dump(include={"version", "attempt", "effective_from"})
        return {"promotion": standing.number, **promoted}
