"""Train a challenger."""

from dataclasses import asdict
from typing import Any

from airflow.sdk import Context

from airflow_evergreen.hooks.tracking import MlflowHook
from airflow_evergreen.links import MlflowLink
from airflow_evergreen.operators.attempt import AttemptOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder


class TrainModelOperator(AttemptOperator):
    """Fit a challenger on the labels known before the holdout, and log it.

    Returns the MLflow run, the label batches it learnt from, its rows, and why there is no run if there is none.
    Parameters: see ``AttemptOperator``.
    """

    reads = ("rows", "labels")

    operator_extra_links = (MlflowLink(),)

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Train."""
        from evergreen.steps.train_model import train_model
        from evergreen.storage.stores import stores_of

        trained = train_model(model, at, self.due)
        page = ""
        if trained.run is not None:
            path = stores_of(model, at).models.run_path(trained.run)
            page = MlflowHook(self.mlflow_conn_id).page(at, path)
        return {**asdict(trained), "page": page}
