"""Nights unattended: ten by the clock on the wall, and thirty with a fault each."""

import gzip
import os
import random
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.demo.feeder import feed
from evergreen.records import AttemptRecord, BatchRecord, ClaimRecord, PromotionRecord, VerdictRecord
from evergreen.replay.runner import Runner
from evergreen.storage.stores import open_stores
from tests.live.services import FAST_TO_MISS, NIGHTLY, Live, make_model, running, wait_until
from tests.short_loop import STREAM, fingerprint, land

NIGHTS = 10
FILES = {"files": "green_{batch:%Y-%m-%dT%H%M}.csv.gz", "complete": {"marker": "green_{batch:%Y-%m-%dT%H%M}.done"}}
LABELS = {"files": "labels_{batch:%Y-%m-%dT%H%M}.csv", "complete": {"marker": "labels_{batch:%Y-%m-%dT%H%M}.done"}}


def deliver(model: ModelFolder, folder: Path, number: int) -> None:
    """The source's own night: the files of a batch, each with its marker."""
    minute = model.config.calendar.name(number - 1)
    rows = STREAM.make_rows(number).to_csv(index=False).encode()
    (folder / f"green_{minute}.csv.gz").write_bytes(gzip.compress(rows))
    (folder / f"labels_{minute}.csv").write_text(STREAM.make_labels(number).to_csv(index=False))
    for name in ("green", "labels"):
        (folder / f"{name}_{minute}.done").touch()


@pytest.mark.long
def test_ten_scheduled_nights_pass_unattended(tmp_path: Path) -> None:
    # The services take a while to start; the first night begins when they are up.
    start = (datetime.now(UTC) + timedelta(minutes=2)).replace(second=0, microsecond=0)
    model = make_model(
        tmp_path / "models",
        "nightly",
        schedule={"every": "minute", "cron": "* * * * *", "start": start},
        source={**FILES, "wait": "3m"},
        labels={**LABELS, "key": ["trip_id"], "target": {"trip_minutes": "float"}, "wait": "3m", "max_delay": 7},
    )
    with running(tmp_path / "home", model.path.parent) as live:
        folder = Path(live.at.landing) / model.id
        folder.mkdir(parents=True)

        def deliver_all() -> None:
            for number in range(1, NIGHTS + 1):
                due = model.config.calendar.starts_at(number)
                time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()) + 3)
                deliver(model, folder, number)

        source = threading.Thread(target=deliver_all, daemon=True)
        source.start()
        ledger = open_stores(live.at, model.id).ledger
        last = model.config.calendar.name(NIGHTS - 1)
        wait_until(lambda: ledger.get(ClaimRecord, last), 60 * (NIGHTS + 6), "the tenth night to be scored")
        nights = [
            f"scheduled__{model.config.calendar.starts_at(number).isoformat()}" for number in range(1, NIGHTS + 1)
        ]
        for dag_id in ("nightly__batch", "nightly__drift"):
            wait_until(
                lambda dag_id=dag_id: {live.runs(dag_id).get(night) for night in nights} <= {"success", "failed"},
                180,
                f"ten runs of {dag_id} to end",
            )
        states = Counter(live.runs("nightly__batch")[night] for night in nights)
        # The third file has a renamed column, as in every short run; the nine others passed.
        assert states == {"success": 9, "failed": 1}
        assert {live.runs("nightly__drift")[night] for night in nights} == {"success"}
    sealed = [ledger.get(BatchRecord, f"rows.{model.config.calendar.name(number)}") for number in range(NIGHTS)]
    assert [record.state for record in sealed if record] == ["published"] * 2 + ["rejected"] + ["published"] * 7
    promotion = ledger.last(PromotionRecord, "champion")
    assert promotion is not None
    final = ledger.last(ClaimRecord, last)
    assert final is not None
    assert final.version is not None


SOAK, SEED = 30, 5
SERVICES = ("postgres", "mlflow", "api-server", "dag-processor", "triggerer", "scheduler")
# Every fourth file or so is a bad one, too.
WORLD = replace(STREAM, batches=SOAK, broken=(3, 9, 14, 15, 22, 28), changed=18)


@dataclass
class Trouble:
    """A fault a night, at a moment of its own, while the loop is at work.

    :param full: the lake's own small disk; None if it has none.
    :param figures: after each night the memory (MB) and open files of each service, and the database's connections.
    """

    live: Live
    model: ModelFolder
    full: Path | None
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))
    struck: list[str] = field(default_factory=list)
    figures: list[dict[str, int]] = field(default_factory=list)

    def begin(self) -> None:
        """Draw a night's fault and its moment."""
        faults = ["task", "worker", *SERVICES, "no landing", *(["disk full"] if self.full else [])]
        self._fault, self._due = self.chance.choice(faults), time.monotonic() + self.chance.uniform(0, 12)
        self._mend: Callable[[], object] | None = None

    def watch(self) -> None:
        """What the feeder calls again and again while a night passes."""
        self.live.services.watch()
        if time.monotonic() < self._due:
            return
        if self._mend is not None:
            self.end()
        elif self._fault and self._strike():
            self.struck.append(self._fault)
            self._fault, self._due = "", time.monotonic() + self.chance.uniform(2, 8)

    def end(self) -> None:
        """Mend what the night has broken and not yet mended."""
        if self._mend is not None:
            self._mend()
        self._mend, self._due = None, float("inf")

    def look(self) -> None:
        """Write down what the services hold."""
        held = {}
        for name, service in self.live.services.running.items():
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(service.process.pid)  # type: ignore[union-attr]
                held |= {f"{name} MB": process.memory_info().rss >> 20, f"{name} files": process.num_fds()}
        with suppress(Exception):
            held["connections"] = self.live.query("select count(*) from pg_stat_activity")[0][0]
        self.figures.append(held)

    def _strike(self) -> bool:
        if self._fault in SERVICES:
            self.live.services.running[self._fault].kill()
        elif self._fault == "no landing":
            landing = Path(self.live.at.landing)
            away = landing.rename(landing.with_name("away"))
            self._mend = lambda: away.rename(landing)
        elif self._fault == "disk full":
            assert self.full is not None
            ballast = self.full / "ballast"
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(bytes(1 << 16)):
                    pass
            self._mend = ballast.unlink
        else:
            return self._kill_task(worker=self._fault == "worker")
        return True

    def _kill_task(self, worker: bool) -> bool:
        """Kill a task that runs, with the process that supervises it or without; whether there was one."""
        text = "select pid from task_instance where state = 'running' and pid is not null and dag_id like ?"
        for (pid,) in self.live.query(text, f"{self.model.id}\\_\\_%"):
            with suppress(psutil.NoSuchProcess):
                parent = psutil.Process(pid).parent()
                psutil.Process(pid).kill()
                if worker and parent is not None:
                    parent.kill()
                return True
        return False


@contextmanager
def small_disk(place: Path) -> Iterator[Path | None]:
    """A disk of 48 MB at a folder, where this user may mount one."""
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "evergreen", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.long
def test_thirty_nights_with_a_fault_each_end_as_undisturbed_ones_do(tmp_path: Path) -> None:
    tasks = {"poll": "1s", "retries": 8, "retry_delay": "2s"}
    model = make_model(tmp_path / "models", "soak", schedule={**NIGHTLY, "end": "2024-01-30"}, tasks=tasks)
    # A scheduler that was killed is missed soon, too.
    orphans = {"AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10"}
    with (
        small_disk(tmp_path / "home" / "lake") as disk,
        running(tmp_path / "home", model.path.parent, **FAST_TO_MISS, **orphans) as live,
    ):
        trouble = Trouble(live, model, disk)
        trouble.begin()
        for line in feed(model, live.at, WORLD, watch=trouble.watch):
            trouble.end()
            trouble.look()
            print(line, trouble.struck[-1:], trouble.figures[-1])
            trouble.begin()
        ledger, last = open_stores(live.at, model.id).ledger, "scheduled__2024-01-31T07:00:00+00:00"
        for dag_id in ("soak__batch", "soak__drift"):
            runs = wait_until(
                lambda dag_id=dag_id: (
                    live.services.watch(),
                    {*(found := live.runs(dag_id)).values()} <= {"success", "failed"} and last in found and found,
                )[1],
                600,
                f"the runs of {dag_id} to end",
            )
            failed = [run for run, state in sorted(runs.items()) if state == "failed"]
            assert len(failed) == (len(WORLD.broken) if dag_id == "soak__batch" else 0), failed
        core = Locations.under(tmp_path / "core")
        for number in range(1, SOAK + 1):
            land(model, core, number, stream=WORLD)
            Runner(model, core).run_batch(model.config.calendar.name(number - 1))
        there, alone = fingerprint(model, live.at), fingerprint(model, core)
        places = (str(live.services.home), str(tmp_path / "core"))
        there = {key: text.replace(places[0], places[1]) for key, text in there.items()}
        assert {key for key in {*there, *alone} if there.get(key) != alone.get(key)} == set()
        assert ledger.last(PromotionRecord, "champion").number > 1  # type: ignore[union-attr]
        challengers = [run for run in _runs(live.at, model) if run.startswith("challenger")]
        assert len(challengers) == len({*challengers}) == len(_attempts(live.at, model))
    assert len(trouble.struck) > SOAK / 2, trouble.struck
    for what in trouble.figures[4]:
        values = [held[what] for held in trouble.figures if what in held]
        assert statistics.median(values[-8:]) < 1.3 * statistics.median(values[4:12]) + 20, (what, values)


def _attempts(at: Locations, model: ModelFolder) -> list[AttemptRecord]:
    ledger, names = open_stores(at, model.id).ledger, model.config.calendar
    verdicts = [ledger.get(VerdictRecord, names.name(n)) for n in range(SOAK)]
    asked = [one.id for one in verdicts if one is not None and one.action == "retrain"]
    return [attempt for one in asked if (attempt := ledger.get(AttemptRecord, one)) is not None]


def _runs(at: Locations, model: ModelFolder) -> list[str]:
    """Role and attempt of each run in MLflow that was finished."""
    models = open_stores(at, model.id).models
    found = models._client.search_runs([models._experiment], "attributes.status = 'FINISHED'")
    return [f"{run.data.tags['evergreen.role']} {run.data.tags['evergreen.attempt']}" for run in found]
