"""What a night costs on a real scheduler: a large batch from its files to its check, beside the same in a warm process.

Run by hand: ``python -m tests.bench.night [rows]``; it starts PostgreSQL, MLflow and Airflow, and takes some minutes.
Two small nights come before, which promote a champion. The clock runs from the marker of the last file to the end of
the check; both ways use the same MLflow server and the same disk, one after the other.
"""

import functools
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder, load_model_folder
from evergreen.demo.stream import DemoStream
from evergreen.records import ClaimRecord, ClosingRecord, VerdictRecord
from evergreen.replay import runner
from evergreen.storage.stores import open_stores
from tests.conftest import *  # noqa: F403 - Airflow's settings, before it is imported
from tests.live.services import NIGHTLY, Live, make_model, running, wait_until

# Labels come with their rows: those of the night before would be of a night that was small.
_SMALL = DemoStream(trips=1000, batches=3, broken=(), shifted=(0, 0), changed=0, delays=((0, 1.0),))
_STEPS = ("wait_for_batch", "ingest_batch", "validate_batch", "score_batch", "check_drift")
_TASKS = """select dag_id, task_id, scheduled_dttm, queued_dttm, start_date, end_date from task_instance
    where run_id = ? and state = 'success' and end_date is not null order by start_date"""


def land(model: ModelFolder, landing: str, rows: int, number: int) -> None:
    """Write a night's files, its markers last."""
    replace(_SMALL, trips=rows).land(Path(landing) / model.id, number)


def run_scheduled(live: Live, model: ModelFolder, rows: int) -> float:
    """Seconds from the last marker to the end of the check, by Airflow; prints where they went."""
    ledger = open_stores(live.at, model.id).ledger
    dags = [f"{model.id}__{kind}" for kind in ("batch", "drift")]
    for number in (1, 2):
        land(model, live.at.landing, 1000, number)
        wait_until(functools.partial(_ended, live, dags, number), 600, f"the runs of night {number}")
        verdict = ledger.get(VerdictRecord, _SMALL.day(number))
        if verdict is not None and verdict.action == "retrain":
            # So that the same version scores as in the warm process.
            wait_until(functools.partial(ledger.get, ClosingRecord, verdict.id), 600, "the retraining")
    files = live.services.home / "made"
    land(model, str(files), rows, 3)
    made = sorted((files / model.id).iterdir(), key=lambda one: one.suffix == ".done")
    for file in made:
        shutil.move(file, Path(live.at.landing) / model.id / file.name)
    begun = datetime.now().astimezone()
    wait_until(lambda: _ended(live, dags, 3), 1800, "the runs of the large night")
    claim = ledger.last(ClaimRecord, model.config.calendar.name(2))
    assert claim is not None
    assert claim.version is not None
    print(f"  scored by version {claim.version}")
    return _describe(live, _run(live, dags[0], 3), begun)


def _run(live: Live, dag_id: str, number: int) -> str:
    return sorted(live.runs(dag_id))[number - 1]


def _ended(live: Live, dags: list[str], number: int) -> bool:
    runs = [live.runs(dag_id) for dag_id in dags]
    return all(len(one) >= number and one[sorted(one)[number - 1]] in ("success", "failed") for one in runs)


def _describe(live: Live, run_id: str, begun: datetime) -> float:
    """Print each task's scheduling, queueing and work; seconds until the check ended."""
    print("  task                      scheduled  queued  began  ended   in it")
    checked = 0.0
    for dag_id, task, *moments in live.query(_TASKS, run_id):
        at = [(moment - begun).total_seconds() if moment else float("nan") for moment in moments]
        name = f"{dag_id.rpartition('__')[2]}.{task}"
        print(f"  {name:26} {at[0]:8.2f} {at[1]:7.2f} {at[2]:6.2f} {at[3]:6.2f} {at[3] - at[2]:7.2f}")
        checked = at[3] if task == "check_drift" else checked
    return checked


def run_warm(model: ModelFolder, at: Locations, landing: str, rows: int) -> float:
    """Seconds of the same steps in this process, whose libraries and champion are loaded."""
    spent: dict[str, float] = {}

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - begun

        return call

    for step in _STEPS:
        setattr(runner, step, timed(step, getattr(runner, step)))
    drive = runner.Runner(model, replace(at, landing=landing), sinks=())
    for number in range(3):
        if number == 2:
            # What it goes on with afterwards is no part of the night.
            setattr(runner, "find_due_attempt", lambda *_: None)  # noqa: B010
        spent.clear()
        drive.run_batch(model.config.calendar.name(number))
    claim = open_stores(drive.at, model.id).ledger.last(ClaimRecord, model.config.calendar.name(2))
    steps = ", ".join(f"{name} {seconds:.2f}" for name, seconds in spent.items())
    print(f"  {steps}; scored by version {claim.version if claim is not None else None}")
    return sum(spent.values())


def main(rows: int) -> None:
    """Measure both and print the ratio."""
    place = Path(tempfile.mkdtemp(prefix="evergreen-night-"))
    try:
        schedule = {**NIGHTLY, "end": "2024-01-03"}
        path = make_model(place / "models", "night", short=False, schedule=schedule).path
        expectations = (path / "expectations.yaml").read_text()
        (path / "expectations.yaml").write_text(expectations.replace("max_value: 20000", f"max_value: {2 * rows}"))
        model = load_model_folder(path)
        with running(place / "home", model.path.parent, AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME="0.1") as live:
            print(f"a batch of {rows:,} rows; seconds since its last file came")
            scheduled = run_scheduled(live, model, rows)
            warm = run_warm(model, replace(live.at, env="warm"), live.at.landing, rows)
        print(f"scheduler {scheduled:.1f} s, warm process {warm:.1f} s: {scheduled / warm:.2f} times")
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
