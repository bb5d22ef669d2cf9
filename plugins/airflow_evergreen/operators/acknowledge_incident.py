"""Say that an incident is over."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from airflow_evergreen.runtime import who_triggered
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.incidents import acknowledge
from evergreen.storage.stores import stores_of


class AcknowledgeIncidentOperator(StepOperator):
    """Close an open incident because a person says that it is over.

    Returns the incident and how it ended. Parameters beside those of ``StepOperator``:

    :param incident: its id, such as ``fault-rows.0``. (templated)
    :param why: why, for the record. (templated)
    """

    template_fields = ("model_id", "incident", "why")

    def __init__(
        self, *, incident: str = "{{ params.incident }}", why: str = "{{ params.why }}", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.incident, self.why = incident, why

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Close it."""
        over = acknowledge(stores_of(model, at).ledger, self.incident, who_triggered(context), self.why)
        return {"incident": over.incident, "how": over.text}
