"""Reproduce a version."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.step import StepOperator
from airflow_evergreen.runtime import who_triggered
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Refused


class ReproduceModelOperator(StepOperator):
    """Fit a version once more from its record, aside; fail, without a retry, where it does not come out equal.

    Nothing is registered. Returns the version, the rows that were compared, the hash of its parameters, and the same in
    a sentence. Parameters
    beside those of ``StepOperator``:

    :param version: the version. (templated)
    :param why: why, for the record. (templated)
    """

    template_fields = ("model_id", "version", "why")

    def __init__(self, *, version: str = "{{ params.version }}", why: str = "{{ params.why }}", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.version, self.why = version, why

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Fit it."""
        from evergreen.steps.reproduce_model import describe_reproduced, reproduce_model

        record = reproduce_model(model, at, int(self.version), f"{who_triggered(context)}: {self.why}")
        told = "\n".join(describe_reproduced(model.id, record))
        if not record.equal:
            raise Refused(told)
        numbers = {"version": record.version, "rows": record.rows, "parameters": record.parameters}
        return numbers | {"told": told, "outcome": told.partition("\n")[0]}
