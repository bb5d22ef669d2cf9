"""What breaks with many models: a night of each on a real scheduler, all at once.

Run by hand: ``python -m tests.bench.many_models [models]``; it starts PostgreSQL, MLflow and Airflow. Each model has a
folder and files of its own; the files of all are there when the clock starts. Whether every run succeeded, how long
the last took, and how long tasks waited for their turn.
"""

import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from evergreen.records import VerdictRecord
from evergreen.storage.stores import open_stores
from tests.conftest import *  # noqa: F403 - Airflow's settings, before it is imported
from tests.live.services import NIGHTLY, Live, make_model, running, wait_until
from tests.short_loop import STREAM

_KINDS = ("batch", "drift")
_STREAM = replace(STREAM, broken=())
_STATES = "select state, count(*) from dag_run where dag_id ~ '__(batch|drift)$' group by state"
# What waits without a worker began long before it went on.
_TASKS = """select count(*), avg(extract(epoch from end_date - start_date)) from task_instance
    where state = 'success' and operator !~ 'Sensor$'"""
_WAITS = """select task_id, percentile_cont(0.5) within group (order by waited), max(waited), max(try_number) from
    (select *, extract(epoch from start_date - scheduled_dttm) as waited from task_instance) as every
    where operator !~ 'Sensor$' and state = 'success' group by task_id order by 2 desc"""


def run(live: Live, names: list[str], nights: int, minutes: float) -> bool:
    """Wait until each model's runs of each night have ended, and print what they came to; whether all succeeded."""
    begun, wanted = time.monotonic(), len(names) * nights * len(_KINDS)

    def ended() -> bool:
        states = dict(live.query(_STATES))
        return bool(states.get("success", 0) + states.get("failed", 0) >= wanted)  # type: ignore[call-overload]

    wait_until(ended, 60 * minutes, f"{wanted} runs to end; {live.query(_STATES)}")
    spent = time.monotonic() - begun
    states = Counter(dict(live.query(_STATES)))  # type: ignore[arg-type]
    tasks, each = live.query(_TASKS)[0]
    print(f"{wanted} runs: {dict(states)}; {spent:.0f} s")
    print(f"  {tasks} tasks and the sensors before them, on average {each:.1f} s in each, four at once")
    for task, median, longest, tries in live.query(_WAITS):
        print(f"  {task:16} began {median:5.1f} s after it could, at most {longest:6.1f} s; tries at most {tries}")
    return states["success"] == wanted


def main(models: int, nights: int = 2) -> None:
    """Lay the folders and their files, start the services, and wait for the nights."""
    place = Path(tempfile.mkdtemp(prefix="evergreen-models-"))
    schedule = {**NIGHTLY, "end": f"2024-01-{nights:02}"}
    try:
        names = [make_model(place / "models", f"m{n:04}", schedule=schedule).id for n in range(models)]
        landing = place / "home" / "landing"
        for number in range(1, nights + 1):
            _STREAM.land(landing / names[0], number)
        for name in names[1:]:
            shutil.copytree(landing / names[0], landing / name)
        begun = time.monotonic()
        with running(place / "home", place / "models", AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME="0.1") as live:
            print(f"{models} models, {nights} nights each; services up after {time.monotonic() - begun:.0f} s")
            succeeded = run(live, names, nights, 60)
            last = names[-1]
            verdict = open_stores(live.at, last).ledger.get(VerdictRecord, _STREAM.day(nights))
            print(f"{'every run succeeded' if succeeded else 'runs FAILED'}; verdict of {last}: {verdict is not None}")
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
