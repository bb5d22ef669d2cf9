"""A driver that is killed at random, and two drivers at one loop: each must leave what one undisturbed driver leaves.

Run as a program: importing takes seconds, so one process imports everything and forks a child for each driver. The
parent only imports: the libraries' own threads would not survive a fork.
"""

import importlib
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy
import psutil
import sqlalchemy.orm
from mlflow import MlflowClient
from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import NotReady, Outage
from evergreen.replay.runner import Runner
from tests.killed_runs import in_child
from tests.short_loop import fingerprint
from tests.unit.small_loop import SmallLoop, day, doubled, turned

DAYS, KILLS, SEED = 6, 40, 11
# So many of the kills come while MLflow's database is made.
FIRST = 2


def begin(place: Path) -> None:
    """A loop with all its files, and no registry yet."""
    place.mkdir(parents=True)
    # An empty file, as SQLite makes one before it writes: no registry is laid over it.
    (place / "mlflow.db").touch()
    loop = SmallLoop.under(place)
    for number in range(1, DAYS + 1):
        loop.land(number, doubled if number < DAYS // 2 else turned)


def open_loop(place: Path) -> SmallLoop:
    """The loop at a place, with the MLflow that is noted there."""
    at, noted = Locations.under(place), place / "mlflow_uri"
    if noted.exists():
        at = replace(at, tracking_uri=noted.read_text(), artifacts=None)
    return SmallLoop(load_model_folder(place / "models" / "small"), at)


def drive(place: Path, meet: Callable[[], object] | None = None) -> None:
    """Take the days through the loop, each again where another driver is at it, as Airflow would.

    :param meet: called before each day; without it the days that are done are passed over.
    """
    loop = open_loop(place)
    (meet or bool)()
    assert keep_trying("the first start", lambda: loop.stores.models.name) == "dev.small"
    for number in range(1, DAYS + 1):
        done = place / f"done-{number}"
        if meet is None and done.exists():
            continue
        (meet or bool)()
        keep_trying(day(number), lambda number=number: Runner(loop.model, loop.at, sinks=()).run_batch(day(number)))
        done.touch()


def keep_trying(what: str, work: Callable[[], object]) -> object:
    """Do something until neither another driver nor a locked database is in the way; returns what it came to."""
    while True:
        try:
            return work()
        except (NotReady, Outage) as error:
            print(f"{os.getpid()}, {what}: {error}", file=sys.stderr)
            time.sleep(0.05)


def drive_on(place: Path) -> NoReturn:
    """The same without an end: the days that are left, then all of them again and again."""
    drive(place)
    while True:
        drive(place, meet=bool)


def tell(place: Path) -> None:
    """Write down all that is left: tables, records, registry, and the runs that were finished or are open."""
    loop = open_loop(place)
    end: dict[str, Any] = dict(fingerprint(loop.model, loop.at))
    client = MlflowClient(loop.at.tracking_uri, loop.at.tracking_uri)
    runs = client.search_runs([loop.stores.models._experiment])
    tags = [(one.data.tags["evergreen.attempt"], one.data.tags["evergreen.role"], one.info.status) for one in runs]
    end["runs"] = sorted(" ".join(tag) for tag in tags if tag[-1] not in ("KILLED", "FAILED"))
    (place / "end.json").write_text(json.dumps(end))


def undisturbed(place: Path) -> dict[str, Any]:
    """What one driver leaves, and the CPU seconds of a day."""

    def work() -> None:
        begin(place)
        assert open_loop(place).stores.models.name
        started = time.process_time()
        drive(place)
        a_day = (time.process_time() - started) / DAYS
        tell(place)
        told = {"day": a_day, "modules": sorted(sys.modules)}
        (place / "told.json").write_text(json.dumps(told))

    assert in_child(work) == 0
    told: dict[str, Any] = json.loads((place / "told.json").read_text())
    import_as(told["modules"])
    return told


def import_as(modules: list[str]) -> None:
    """Import what a driver has imported on its way: it costs more than its work, and a child has it from its parent."""
    for name in modules:
        with suppress(ImportError):
            importlib.import_module(name)
    # So do two things that MLflow and SQLAlchemy do once a process.
    warn_dependency_requirement_mismatches([f"numpy=={numpy.__version__}"])
    sqlalchemy.orm.configure_mappers()


def kill_when(due: Callable[[psutil.Process], bool], work: Callable[[], None]) -> int:
    """Begin something in a forked child and kill it as soon as it is due; returns how it ended."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    process = psutil.Process(child)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if due(process):
            process.kill()
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        time.sleep(0.001)


def killed(place: Path, told: dict[str, Any]) -> dict[str, Any]:
    """One driver after the other, each killed at a moment of its own; a last one goes on to the end."""
    chance = random.Random(SEED)
    assert in_child(lambda: begin(place)) == 0
    halves, ends, days = 0, [], []
    for n in range(KILLS):
        first = n < FIRST
        if n == FIRST:
            assert in_child(lambda: open_loop(place).stores.models.champion()) == 0
        written, spent = (n + 1) * 50_000, chance.uniform(0.1, 1.7) * told["day"]

        def is_half_made(_: psutil.Process, written: int = written) -> bool:
            with suppress(FileNotFoundError):
                return any(made.stat().st_size >= written for made in place.glob("mlflow.db.new*/mlflow.db"))
            return False

        def has_worked(process: psutil.Process, spent: float = spent) -> bool:
            return sum(process.cpu_times()[:2]) >= spent

        ends.append(kill_when(is_half_made if first else has_worked, lambda: drive_on(place)))
        # MLflow's database is being made beside its place, and is not there yet.
        halves += first and any(place.glob("mlflow.db.new*")) and not (place / "mlflow.db").stat().st_size
        days.append(len(list(place.glob("done-*"))))
    assert in_child(lambda: drive(place)) == 0
    return {"kills": ends.count(-signal.SIGKILL), "halves": halves, "days": days}


def together(place: Path) -> dict[str, Any]:
    """Two drivers at once, from the first start on."""
    assert in_child(lambda: begin(place)) == 0
    fork = multiprocessing.get_context("fork")
    meeting = fork.Barrier(2, timeout=300)
    drivers = [fork.Process(target=drive, args=(place, meeting.wait)) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    return {
        "exits": [driver.exitcode for driver in drivers],
        "leases": [str(left) for left in place.glob("lake/leases/**/*.json")],
    }


def main(place: Path) -> None:
    """Let all of them drive; print what happened as JSON."""
    told = undisturbed(place / "alone")
    outcome = {"together": together(place / "together"), "killed": killed(place / "killed", told)}
    for name in outcome:
        assert in_child(lambda name=name: tell(place / name)) == 0
    ends = {name: json.loads((place / name / "end.json").read_text()) for name in ("alone", *outcome)}
    print(json.dumps({"outcome": outcome, "ends": ends, "cpu": [told["day"], sum(os.times()[:4])]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
