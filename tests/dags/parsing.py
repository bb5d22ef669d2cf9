"""DAG files as Airflow reads them."""

import os
from pathlib import Path
from unittest.mock import patch

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

ROOT = Path(__file__).parent.parent.parent


def parse(file: str = "", dag_id: str | None = None) -> DagBag:
    """Read one DAG file, or all, as the DAG processor does; with a DAG's id as a worker does that runs its task."""
    asked = {"_AIRFLOW_PARSING_CONTEXT_DAG_ID": dag_id, "_AIRFLOW_PARSING_CONTEXT_TASK_ID": "task"} if dag_id else {}
    with patch.dict(os.environ, asked):
        return DagBag(ROOT / "dags" / file)


def edges(dag: DAG) -> set[str]:
    """Every arrow of a DAG, as ``upstream >> downstream``."""
    return {f"{task.task_id} >> {after}" for task in dag.tasks for after in task.downstream_task_ids}
