"""Links from a task's page to what it made, and to what tells of it."""

from typing import Any
from urllib.parse import quote

from airflow.configuration import conf
from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

# Of the addresses of our pages.
PREFIX = "/evergreen"


class MlflowLink(BaseOperatorLink):
    """The MLflow page of the run or version that a task has made, or judges."""

    name = "MLflow"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The page that the task returned, or was given while it waits; empty where MLflow is no server."""
        return str((_returned(ti_key) or getattr(operator, "judged", None) or {}).get("page", ""))


class ModelLink(BaseOperatorLink):
    """The page of the task's model."""

    name = "Model"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The tab of its DAG."""
        return model_page(ti_key.dag_id)


class OutcomeLink(BaseOperatorLink):
    """What the task's run has come to: its batch with the check, or its attempt with the judgement."""

    name = "Outcome"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The tab of its run."""
        return f"{_base()}/dags/{ti_key.dag_id}/runs/{quote(ti_key.run_id)}/plugin/evergreen-run"


class EvidentlyLink(BaseOperatorLink):
    """Evidently's page of a check."""

    name = "Evidently"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The page of the batch that the task returned; empty where none is drawn."""
        batch = (_returned(ti_key) or {}).get("drawn")
        return f"{_base()}{PREFIX}/models/{operator.model_id}/drift/{batch}" if batch else ""


def model_page(dag_id: str) -> str:
    """Where Airflow shows the page of a DAG's model."""
    return f"{_base()}/dags/{dag_id}/plugin/evergreen-model"


def _returned(ti_key: Any) -> dict[str, Any]:
    made = XCom.get_value(ti_key=ti_key, key="return_value")
    return made if isinstance(made, dict) else {}


def _base() -> str:
    return str(conf.get("api", "base_url", fallback="")).rstrip("/")
