"""DAG files as Airflow reads them."""

import copy
import os
from pathlib import Path
from typing import Any
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


def try_form(dag: Any, values: dict[str, Any]) -> None:
    """Fill in a DAG's form as a person does, and let Airflow look at it."""
    params = copy.deepcopy(dag.params)
    params.update(values)
    params.validate()


def is_lever(dag: Any, task_id: str) -> bool:
    """Whether a DAG is one that a person starts by hand: one task and the alerts after it, one run at a time."""
    assert [task.task_id for task in dag.topological_sort()] == [task_id, "send_alerts"]
    assert dag.get_task("send_alerts").is_teardown
    assert all(dag.params.get_param(name).description for name in dag.params)
    return not dag.timetable.can_be_scheduled and dag.max_active_runs == 1
