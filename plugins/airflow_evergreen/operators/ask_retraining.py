"""Ask for a retraining, or take up the one that the watch has started."""

from typing import Any

from airflow.sdk import Context

from airflow_evergreen.operators.attempt import attempt_batch
from airflow_evergreen.operators.step import StepOperator
from airflow_evergreen.runtime import who_triggered
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Refused
from evergreen.incidents import resolve
from evergreen.storage.stores import stores_of


class AskRetrainingOperator(StepOperator):
    """Find the attempt that this run makes.

    A run that the watch has started carries it in its Params (verdict, as_of, run). A run that a person has
    started asks for a retraining at the newest check, or takes up the open one; where labels have to come before a
    challenger can be judged, it says so, the tasks after it are skipped, and the watch makes the attempt later. Returns
    verdict, as_of and run. Parameters: see ``StepOperator``.

    :param why: why a retraining is wanted, for the record. (templated)
    """

    template_fields = ("model_id", "why")

    def __init__(self, *, why: str = "{{ params.why }}", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.why = why

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Ask."""
        from evergreen.steps.ask_retraining import ask_retraining

        params: Any = context["params"]
        attempt: dict[str, Any] = {name: params.get(name) for name in ("verdict", "as_of", "run")}
        if None not in attempt.values():
            # A slip is refused before anything is written.
            attempt["as_of"] = attempt_batch(model, attempt, context)
        elif any(value is not None for value in attempt.values()):
            raise Refused(
                f"model {model.id}: found Params {attempt}; valid: verdict, as_of and run together, as the "
                "watch gives them, or none of them to retrain by hand"
            )
        else:
            why = f"{who_triggered(context)}: {self.why}"
            asked = ask_retraining(model, at, context["dag_run"].run_id, why)
            due = asked.attempt
            if due is None:
                self.log.warning("%s", asked.why)
                return {"verdict": asked.verdict, "as_of": asked.as_of, "run": 1, "waits": asked.why}
            attempt = {"verdict": due.verdict, "as_of": due.as_of, "run": 1}
        text = f"{model.id}: the attempt of verdict {attempt['verdict']} has started"
        resolve(stores_of(model, at).ledger, "paused", attempt["as_of"], text)
        return attempt

    def as_of(self, model: ModelFolder, context: Context) -> str:
        """The attempt's batch, or that of the newest check."""
        params: Any = context.get("params", {})
        return attempt_batch(model, {"as_of": params["as_of"]} if params.get("as_of") else None, context)
