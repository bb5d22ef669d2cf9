"""Runs within a run: the trials of a search, each of which stands once among those that have finished."""

from collections.abc import Iterable

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from evergreen.foreign_text import one_line
from evergreen.storage.logged_model import Trial

# MLflow takes values of 6,000 characters.
_LONGEST = 500


def log_trials(client: MlflowClient, parent: Run, trials: Iterable[Trial]) -> None:
    """Log each trial as a run within the parent, which is open still.

    Whoever is killed meanwhile leaves the parent open: ``end_run`` then takes its trials out of those that count.
    """
    for number, trial in enumerate(trials):
        tags = {MLFLOW_PARENT_RUN_ID: parent.info.run_id, "evergreen.role": "trial"}
        if trial.problem:
            tags["evergreen.problem"] = one_line(trial.problem)[:_LONGEST]
        name = f"trial {number}" if number else "as estimator.py says"
        run = client.create_run(parent.info.experiment_id, tags=tags, run_name=name).info
        params = [Param(key, one_line(str(value))[:_LONGEST]) for key, value in trial.params.items()]
        losses = [] if trial.loss is None else [Metric("inner_loss", trial.loss, run.start_time, 0)]
        client.log_batch(run.run_id, losses, params)
        client.set_terminated(run.run_id, "FINISHED" if trial.loss is not None else "FAILED")


def end_run(client: MlflowClient, experiment: str, run_id: str) -> None:
    """Mark a run that a killed process left open, and before it what is within it, as killed."""
    for child in client.search_runs([experiment], f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'"):
        client.set_terminated(child.info.run_id, "KILLED")
    client.set_terminated(run_id, "KILLED")
