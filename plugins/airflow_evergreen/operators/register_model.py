"""Register the version that a won attempt leads to."""

from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_evergreen.hooks.tracking import MlflowHook
from airflow_evergreen.links import MlflowLink, model_page
from airflow_evergreen.operators.attempt import AttemptOperator
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import ApprovalMissing


class RegisterModelOperator(AttemptOperator):
    """Refit the recipe that won on all labels known at the attempt, and register it as a version, once.

    Skipped where the challenger was refused, or could not be fitted again. Returns the version. Parameters: see
    ``AttemptOperator``.
    """

    reads = ("rows", "labels")

    operator_extra_links = (MlflowLink(),)

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Register."""
        from evergreen.steps.register_model import register_model
        from evergreen.storage.stores import stores_of

        try:
            version = register_model(model, at, self.due, model_page(f"{model.id}__batch")).version
        except ApprovalMissing as refused:
            raise AirflowSkipException(str(refused)) from refused
        if version is None:
            raise AirflowSkipException("what was judged could not be fitted again; see the incident")
        path = stores_of(model, at).models.pages.version_path(version)
        return {"version": version, "page": MlflowHook(self.mlflow_conn_id).page(at, path)}
