"""The checks that the Astro CLI looks for here; the ones that it would generate do not run on Airflow 3.3.

Every DAG file imports, and every DAG says whose it is, what it belongs to, and what a failed task is worth.
"""

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

DAGS = Path(__file__).parent.parent / "dags"


@pytest.fixture(scope="module")
def bag() -> DagBag:
    """All DAGs, parsed once."""
    return DagBag(dag_folder=DAGS)


def test_every_file_imports(bag: DagBag) -> None:
    """No file is broken, and none is passed over."""
    assert bag.import_errors == {}
    without = {path.name for path in DAGS.glob("*.py")} - {Path(dag.fileloc).name for dag in bag.dags.values()}
    # It makes a DAG of each model that tries challengers online.
    assert without <= {"arms.py"}


def test_every_dag_has_tags_and_an_owner(bag: DagBag) -> None:
    """Who looks for a DAG finds it, and finds whom to ask."""
    assert {dag.dag_id for dag in bag.dags.values() if not dag.tags} == set()
    assert {dag.dag_id for dag in bag.dags.values() if dag.owner in ("", "airflow")} == set()


def test_every_task_is_tried_again(bag: DagBag) -> None:
    """An outage of a minute fails no run."""
    once = {f"{dag.dag_id}.{task.task_id}" for dag in bag.dags.values() for task in dag.tasks if task.retries < 1}
    assert once == set()
