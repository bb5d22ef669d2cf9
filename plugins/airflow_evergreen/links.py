"""Links from a task's page to what it made."""

from typing import Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom


class MlflowLink(BaseOperatorLink):
    """The MLflow page of the run or version that a task has made."""

    name = "MLflow"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The page that the task returned; empty where MLflow is no server."""
        made = XCom.get_value(ti_key=ti_key, key="return_value")
        return str(made.get("page", "")) if isinstance(made, dict) else ""
