"""The Params that DAGs ask a person for; on a form, and on the model's page."""

from typing import Any

from airflow.sdk import Param

from evergreen.config.model_folder import ModelFolder


def run_params(model: ModelFolder) -> dict[str, Param]:
    """The Params of a DAG that runs once a batch: which batch a run is for that a person starts."""
    return {"batch": batch_param(model, "The batch to process", "the one that the run's data interval ends")}


def batch_param(model: ModelFolder, what: str, otherwise: str | None = None, title: str = "Batch") -> Param:
    """A Param that names a batch.

    :param what: what the batch is for.
    :param otherwise: which batch is meant where none is named; None where one has to be.
    """
    described = f"{what}, such as {model.config.calendar.name(0)}"
    form: dict[str, Any] = {"pattern": model.config.calendar.pattern, "title": title}
    if otherwise is None:
        return Param(type="string", description=f"{described}.", **form)
    return Param(None, type=["null", "string"], description=f"{described}; empty: {otherwise}.", **form)


def why_param(title: str) -> Param:
    """A Param that has to be filled in with a reason."""
    return Param(type="string", minLength=1, title=title, description="Why; it goes on record, with your name.")


def attempt_params(model: ModelFolder) -> dict[str, Param]:
    """The Params of a retraining: why, of a person; in a section of its own, which attempt it makes, of the watch."""
    batch, text, number = model.config.calendar.pattern, ["null", "string"], ["null", "integer"]
    watch: dict[str, Any] = {"section": "Filled in by the watch"}
    verdict = f"{batch[:-1]}[.][0-9]+$"
    return {
        "why": Param("", type="string", title="Why", description="Why a retraining is wanted; it goes on record."),
        "verdict": Param(
            None, type=text, pattern=verdict, title="Verdict", description="The verdict to answer.", **watch
        ),
        "as_of": Param(None, type=text, pattern=batch, title="As of", description="Its attempt's batch.", **watch),
        "run": Param(None, type=number, title="Run", description="Number of this run.", **watch),
    }
