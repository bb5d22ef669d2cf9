"""Say that an incident is over, or that it may wait."""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from airflow_evergreen.runtime import who_triggered
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.incidents import acknowledge, snooze
from evergreen.storage.stores import stores_of


class AcknowledgeIncidentOperator(StepOperator):
    """Close an open incident because a person says that it is over, or tell nothing of it for a while.

    Returns the incident and what became of it, apart and in a sentence. Parameters beside those of ``StepOperator``:

    :param incident: its id, such as ``fault-rows.0``. (templated)
    :param why: why, for the record. (templated)
    :param until: the day, such as ``2024-02-01``, before which nothing is told of it; empty: it is over. (templated)
    """

    template_fields = ("model_id", "incident", "why", "until")

    def __init__(
        self,
        *,
        incident: str = "{{ params.incident }}",
        why: str = "{{ params.why }}",
        until: str = "{{ params.until or '' }}",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.incident, self.why, self.until = incident, why, until

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Close it, or put on record until when it may wait."""
        ledger, by = stores_of(model, at).ledger, who_triggered(context)
        if self.until:
            quiet = snooze(ledger, self.incident, by, self.why, self.until, datetime.now(UTC).date())
            incident, how = quiet.incident, f"told again from {quiet.until} on, if it is still open"
        else:
            over = acknowledge(ledger, self.incident, by, self.why)
            incident, how = over.incident, over.text
        return {"incident": incident, "how": how, "outcome": f"{incident}: {how}"}
