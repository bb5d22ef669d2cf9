"""The DAG file of docs/add-a-dag.md, run by Airflow: waits for a file and for scores, and hands the predictions on."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from evergreen.config.locations import Locations
from tests.live.services import make_model
from tests.short_loop import run

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "dags" / "taxi_export.py"
# Airflow wants to know a DAG before it runs one.
PROGRAM = """
import sys
from datetime import UTC, datetime
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
bag = DagBag(sys.argv[1], bundle_name="dags-folder")
assert not bag.import_errors, bag.import_errors
from airflow.dag_processing.bundles.manager import DagBundlesManager
DagBundlesManager().sync_bundles_to_db()
sync_bag_to_db(bag, "dags-folder", None)
run = bag.dags["taxi_export"].test(
    logical_date=datetime(2024, 1, 8, 3, tzinfo=UTC), run_conf={"folder": sys.argv[2]}, use_executor=False
)
print({task.task_id: str(task.state) for task in run.get_task_instances()})
"""


def test_it_hands_the_predictions_on(tmp_path: Path) -> None:
    model = make_model(tmp_path / "models", "taxi", training={"window": 2, "min_labels": 50})
    run(model, Locations.under(tmp_path / "home"), *range(1, 8))
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "prices_2024-01-07.csv").write_text("zone,price\n1,3.5\n")
    (folder / "prices_2024-01-07.done").touch()
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLE.parent),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "EVERGREEN_HOME": str(tmp_path / "home"),
        "EVERGREEN_MODELS": str(tmp_path / "models"),
    }
    airflow = str(Path(sys.executable).parent / "airflow")
    subprocess.run([airflow, "db", "migrate"], env=environment, check=True, capture_output=True, cwd=ROOT)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(EXAMPLE), str(folder)],
        env=environment, capture_output=True, text=True, cwd=ROOT, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for task in ("wait_for_prices", "wait_for_scores", "export", "send_alerts"):
        assert f"'{task}': 'success'" in done.stdout, done.stdout[-3000:]
    exported = pd.read_csv(folder / "predictions_2024-01-07.csv")
    assert len(exported) > 100
    assert set(exported["batch"]) == {"2024-01-07"}
    assert exported["prediction"].notna().all()
