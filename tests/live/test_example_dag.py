"""The DAG file of docs/add-a-dag.md, run by Airflow: waits for a file and for scores, and hands the predictions on.

In the same process runs the batch that it waits for, with OpenLineage told into a file.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evergreen.config.locations import Locations
from evergreen.records import VIEWS, ValuesRecord
from evergreen.storage.stores import open_stores
from tests.live.services import make_model
from tests.short_loop import land, run

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "dags" / "taxi_export.py"
# Airflow wants to know a DAG before it runs one.
PROGRAM = """
import json
import sys
from datetime import UTC, datetime
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.models.asset import AssetEvent
from airflow.utils.session import create_session
from sqlalchemy import select
DagBundlesManager().sync_bundles_to_db()
at = datetime(2024, 1, 8, 3, tzinfo=UTC)
for file, dag_id, conf in (
    (sys.argv[3], "taxi__batch", {"batch": "2024-01-07"}), (sys.argv[1], "taxi_export", {"folder": sys.argv[2]}),
):
    bag = DagBag(file, bundle_name="dags-folder")
    assert not bag.import_errors, bag.import_errors
    sync_bag_to_db(bag, "dags-folder", None)
    run = bag.dags[dag_id].test(logical_date=at, run_conf=conf, use_executor=False)
    print({task.task_id: str(task.state) for task in run.get_task_instances()})
with create_session() as session:
    events = session.scalars(select(AssetEvent).order_by(AssetEvent.id)).all()
    print("events", json.dumps([[event.source_task_id, event.uri, event.extra] for event in events]))
"""


VIEW_YAML = """\
version: 1
source: taxi
lookback: 2
key: [PULocationID]
event_time: lpep_pickup_datetime
columns: {trips: integer}
ttl: 7d
"""
VIEW_PY = """\
def build_view(rows):
    zones = rows.groupby("PULocationID")["lpep_pickup_datetime"]
    return zones.agg(lpep_pickup_datetime="max", trips="size").reset_index()
"""


def write_view(tmp_path: Path) -> None:
    """A feature view in the folder beside the models, where it is found unasked."""
    folder = tmp_path / "features" / "zones"
    folder.mkdir(parents=True)
    (folder / "view.yaml").write_text(VIEW_YAML)
    (folder / "view.py").write_text(VIEW_PY)


def test_it_hands_the_predictions_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_MODELS", str(tmp_path / "models"))
    write_view(tmp_path)
    model = make_model(
        tmp_path / "models", "taxi", training={"window": 2, "min_labels": 50}, features={"views": {"zones": 1}}
    )
    at = Locations.under(tmp_path / "home")
    run(model, at, *range(1, 7))
    land(model, at, 7)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "prices_2024-01-07.csv").write_text("zone,price\n1,3.5\n")
    (folder / "prices_2024-01-07.done").touch()
    lineage = tmp_path / "lineage.jsonl"
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLE.parent),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "EVERGREEN_HOME": str(tmp_path / "home"),
        "EVERGREEN_MODELS": str(tmp_path / "models"),
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(lineage), "append": True}),
    }
    airflow = str(Path(sys.executable).parent / "airflow")
    subprocess.run([airflow, "db", "migrate"], env=environment, check=True, capture_output=True, cwd=ROOT)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(EXAMPLE), str(folder), str(ROOT / "dags" / "batch.py")],
        env=environment, capture_output=True, text=True, cwd=ROOT, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for task in ("wait_for_prices", "wait_for_scores", "export", "send_alerts"):
        assert f"'{task}': 'success'" in done.stdout, done.stdout[-3000:]
    exported = pd.read_csv(folder / "predictions_2024-01-07.csv")
    assert len(exported) > 100
    assert set(exported["batch"]) == {"2024-01-07"}
    assert exported["prediction"].notna().all()
    (line,) = (one for one in done.stdout.splitlines() if one.startswith("events [["))
    events = json.loads(line.removeprefix("events "))
    assert {task: uri for task, uri, _ in events} == {
        "validate_batch": "evergreen://taxi/rows",
        "validate_labels": "evergreen://taxi/labels",
        "score_batch": "evergreen://taxi/predictions",
    }
    extra = {task: extra for task, _, extra in events}
    assert {one["batch"] for one in extra.values()} == {"2024-01-07"}
    assert extra["score_batch"]["rows"] == extra["validate_batch"]["clean"] == len(exported)
    assert extra["score_batch"]["version"] == exported["model_version"].unique()
    check_lineage(lineage, extra, at)
    assert "'compute_views': 'success'" in done.stdout
    values = open_stores(at, VIEWS).ledger.get(ValuesRecord, "zones.v1.2024-01-07")
    assert values is not None
    assert [partition.batch for partition in values.read] == ["2024-01-05", "2024-01-06", "2024-01-07"]


def check_lineage(file: Path, extra: dict[str, Any], at: Locations) -> None:
    """What OpenLineage was told has the names of the assets, and the numbers of their events."""
    told = [json.loads(line) for line in file.read_text().splitlines()]
    ended = {one["job"]["name"]: one for one in told if one["eventType"] == "COMPLETE"}
    scored = ended["taxi__batch.score_batch"]
    assert [(one["namespace"], one["name"]) for one in scored["inputs"]] == [
        ("evergreen://dev", "taxi/rows"), ("evergreen://dev", "taxi/model"),
    ]  # fmt: skip
    (made,) = scored["outputs"]
    assert (made["namespace"], made["name"]) == ("evergreen://dev", "taxi/predictions")
    assert made["outputFacets"]["outputStatistics"]["rowCount"] == extra["score_batch"]["rows"]
    assert made["facets"]["version"]["datasetVersion"] == "2024-01-07"
    assert made["facets"]["dataSource"]["uri"] == f"{at.lake}/tables/dev/taxi/predictions"
    assert [one["name"] for one in ended["taxi__batch.validate_labels"]["outputs"]] == ["taxi/labels"]
