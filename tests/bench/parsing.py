"""What many models cost the DAG processor: each DAG file read in a process of its own, as Airflow reads it.

``make bench`` runs it with 1,000 folders; ``python -m tests.bench.parsing 100`` is the small form. CPU milliseconds a
model; imports come before. Beside them what Airflow takes for a DAG of as many tasks that do nothing, without a model:
its own share, which nothing here goes below. The sum's ratio to it does not depend on the machine.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import *  # noqa: F403 - Airflow's settings, before it is imported

ROOT = Path(__file__).parent.parent.parent
TAXI = ROOT / "include" / "models" / "taxi"
FILES = sorted((ROOT / "dags").glob("[!_]*.py"))
ONE_FILE = "from airflow_evergreen import build_dags\n\nbuild_dags(globals())\n"
# Times what Airflow takes for DAGs of as many empty tasks.
LIMIT = 4.0


def prepare(place: Path, models: int) -> None:
    """Write the folders: the first alone, to warm a process up, then all of them."""
    for number in range(models):
        shutil.copytree(TAXI, place / "models" / f"m{number:04}", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(TAXI, place / "one" / "m", ignore=shutil.ignore_patterns("__pycache__"))
    (place / "evergreen.py").write_text(ONE_FILE)


def read(file: str, place: Path) -> None:
    """Read a DAG file; print CPU milliseconds a model, DAGs, tasks of a model, and what empty DAGs take."""
    from airflow.dag_processing.dagbag import DagBag

    # At Airflow's default of 30 s of the clock, a busy machine would lose all of a file's DAGs.
    os.environ["AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT"] = "600"
    os.environ["EVERGREEN_MODELS"] = str(place / "one")
    DagBag(file)
    os.environ["EVERGREEN_MODELS"] = str(place / "models")
    models = len(list((place / "models").iterdir()))
    begun = time.process_time()
    bag = DagBag(file)
    spent = time.process_time() - begun
    assert bag.import_errors == {}
    sizes = [len(dag.tasks) for dag in bag.dags.values() if dag.dag_id.startswith("m0000__")]
    empty = _build_empty(models, sizes)
    print(1000 * spent / models, len(bag.dags), sum(sizes), 1000 * empty / models)


def _build_empty(models: int, sizes: list[int]) -> float:
    """CPU seconds for as many DAGs of as many tasks in a row."""
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, CronDataIntervalTimetable

    kept, begun = [], time.process_time()
    for number in range(models):
        for kind, size in enumerate(sizes):
            schedule = CronDataIntervalTimetable("0 2 * * *", timezone="UTC")
            with DAG(f"m{number}__{kind}", schedule=schedule, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
                before = None
                for one in range(size):
                    task = EmptyOperator(task_id=f"task_{one}")
                    before = task if before is None else before >> task
            kept.append(dag)
    return time.process_time() - begun


def measure(models: int) -> bool:
    """Run and print; returns whether the limit holds."""
    with tempfile.TemporaryDirectory() as place:
        prepare(Path(place), models)
        print(f"{models} models; CPU ms a model, and of empty DAGs of as many tasks")
        for file in (*map(str, FILES), f"{place}/evergreen.py"):
            command = [sys.executable, "-W", "ignore", "-m", "tests.bench.parsing", file, place]
            done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
            spent, dags, tasks, empty = (float(number) for number in done.stdout.splitlines()[-1].split())
            beside = f"{empty:6.2f}, {spent / empty:.1f} times" if tasks else ""
            print(f"  {Path(file).name:16} {dags:6.0f} DAGs, {tasks:3.0f} tasks a model: {spent:6.2f}  {beside}")
    print(f"all in one file: {spent / empty:.2f} times the empty DAGs (limit {LIMIT})")
    return spent / empty <= LIMIT


if __name__ == "__main__":
    if len(sys.argv) > 2:
        read(sys.argv[1], Path(sys.argv[2]))
    else:
        sys.exit(0 if measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1000) else 1)
