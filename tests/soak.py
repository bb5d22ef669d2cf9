"""A loop through hundreds of nights, each with a fault of its own: it must leave what an undisturbed one leaves.

Run as a program, as ``random_kills`` is. One driver goes on through all nights and meets the outages; what is killed,
or works beside it, is a second one.
"""

import json
import multiprocessing
import os
import random
import resource
import selectors
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import psutil

from evergreen.config.locations import Locations, note_tracking_uri
from evergreen.demo.service import Service
from evergreen.demo.settings import free_port
from evergreen.errors import Refused
from evergreen.replay.runner import Runner
from evergreen.sinks import Message
from evergreen.steps.reingest_batch import reingest_batch
from tests.killed_runs import in_child
from tests.random_kills import SEED, import_as, kill_when, open_loop, tell
from tests.unit.small_loop import SmallLoop, doubled, make_rows, turned

Arrives = Literal["whole", "renamed", "cut", "dirty", "never", "mended"]
Fault = Literal["killed", "beside", "refused", "unanswered", "no landing", "disk full", "server killed"]
FAULTS: dict[Fault, int] = {
    "killed": 12, "beside": 8, "refused": 6, "unanswered": 8, "no landing": 6, "disk full": 8, "server killed": 1,
}  # fmt: skip
CHANGES = {"retrain": {"any": ["decay", {"every": 3}]}, "training": {"window": 4}}
# Seconds in which a night is tried again; MLflow's server takes a while to start.
PATIENCE = 300.0
_fork = multiprocessing.get_context("fork")


def arrives(night: int) -> Arrives:
    """What the source delivers; the same whoever is at work."""
    if night <= 3:
        return "whole"
    if any(_drawn(night - days) in ("renamed", "cut", "never") for days in (1, 2)):
        # Two nights later somebody has mended what was wrong.
        return "mended" if _drawn(night - 2) in ("renamed", "cut", "never") else "whole"
    return _drawn(night)


def _drawn(night: int) -> Arrives:
    kinds: list[Arrives] = ["whole", "renamed", "cut", "dirty", "never"]
    return random.Random(f"{SEED} source {night}").choices(kinds, (75, 6, 6, 7, 6))[0] if night > 3 else "whole"


def deliver(loop: SmallLoop, night: int, how: Arrives) -> None:
    """Let a night's file arrive, and one anew that was wrong; the world turns every 40 nights."""
    if how == "mended":
        deliver(loop, night - 2, "whole")
    folder, name = Path(loop.at.landing) / loop.model.id, loop.model.config.calendar.name(night - 1)
    if how == "never":
        return
    rows = make_rows(night, doubled if night // 40 % 2 == 0 else turned)
    if how == "renamed":
        rows = rows.rename(columns={"x": "ex"})
    if how == "dirty":
        rows["x"] = rows["x"].astype(object)
        rows.loc[3:5, "x"] = "?"
    text = rows.to_csv(index=False)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"rows_{name}.csv").write_text(text[: len(text) // 2] if how == "cut" else text)
    (folder / f"rows_{name}.done").touch()


@dataclass(frozen=True)
class FileSink:
    """A sink that keeps what it is told in a file."""

    path: Path
    name: str = "kept"

    def tell(self, message: Message) -> None:
        """Add a line."""
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(message), sort_keys=True) + "\n")


def run_night(loop: SmallLoop, place: Path, night: int) -> None:
    """All that is to be done in a night, as often as it takes."""
    calendar = loop.model.config.calendar
    batch = calendar.name(night - 1)
    if arrives(night) == "mended":
        reingest_batch(loop.model, loop.at, calendar.name(night - 3))
    runner = Runner(loop.model, loop.at, sinks=(FileSink(place / "told.jsonl"),))
    runner.run_batch(batch, calendar.end(batch) + timedelta(days=3))


@dataclass
class Line:
    """The line to MLflow's server: it can be cut, and the answer to one of the next calls can be lost on it."""

    server: int
    left: Any = field(default_factory=lambda: _fork.Value("i", 0))

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Take connections until the process is ended."""
        while True:
            near = self._listener.accept()[0]
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self.server)) as far:
            eyes = selectors.DefaultSelector()
            eyes.register(near, selectors.EVENT_READ, far)
            eyes.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in eyes.select():
                    content = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not content or self._is_lost(answer=key.fileobj is far):
                        return
                    key.data.sendall(content)

    def _is_lost(self, answer: bool) -> bool:
        with self.left.get_lock():
            if answer and self.left.value > 0:
                self.left.value -= 1
                return bool(self.left.value == 0)
            return bool(self.left.value < 0)


@contextmanager
def disturbed(loop: SmallLoop, line: Line, fault: Fault, chance: random.Random) -> Iterator[None]:
    """A fault that the driver itself meets."""
    landing, away = Path(loop.at.landing), Path(loop.at.landing).with_name("away")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if fault == "refused":
        line.left.value = -1
    elif fault == "unanswered":
        line.left.value = chance.randint(1, 25)
    elif fault == "no landing":
        landing.rename(away)
    elif fault == "disk full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(chance.expovariate(1 / 2000)), hard))
    try:
        yield
    finally:
        line.left.value = 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        if away.exists():
            away.rename(landing)


def go_on(place: Path, line: Line, orders: Connection) -> None:
    """The driver that goes on through all nights, each of which it is told with its fault."""
    loop, this, reason = open_loop(place), psutil.Process(), ""
    while (order := orders.recv()) is not None:
        night, fault = order
        errors, until = [], time.monotonic() + PATIENCE
        while not reason:
            try:
                with disturbed(loop, line, "killed" if errors else fault, random.Random(f"{SEED} how {night}")):
                    run_night(loop, place, night)
                break
            except Refused as error:
                reason = f"night {night}, {fault}: {type(error).__name__}: {error}"
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}")
                time.sleep(0.05)
                if time.monotonic() > until:
                    reason = f"night {night}, {fault}: not done after {len(errors)} tries: {errors[-1]}"
        connections = len(this.net_connections())
        orders.send((errors, reason, this.memory_info().rss >> 20, this.num_fds(), connections, time.process_time()))
    orders.send(sorted(sys.modules))


def drive(place: Path, nights: int, line: Line, a_night: float, server: Service | None) -> dict[str, Any]:
    """Take the nights through the loop, each with a fault if there is a server to lose."""
    near, far = _fork.Pipe()
    driver = _fork.Process(target=go_on, args=(place, line, far), daemon=True)
    driver.start()
    met, seen, figures, kills = Counter[str](), Counter[str](), [], 0
    for night in range(1, nights + 1):
        chance = random.Random(f"{SEED} fault {night}")
        fault = chance.choices(list(FAULTS), list(FAULTS.values()))[0]
        deliver(open_loop(place), night, arrives(night))
        second = None
        if server is not None:
            met[fault] += 1
            if fault == "killed":
                spent = chance.uniform(0.02, 1.2) * a_night
                kills += kill_when(
                    lambda process, spent=spent: sum(process.cpu_times()[:2]) >= spent,
                    lambda night=night: run_night(open_loop(place), place, night),
                ) < 0  # fmt: skip
            elif fault == "beside":
                second = _fork.Process(target=try_night, args=(place, night))
                second.start()
            elif fault == "server killed":
                server.stop(kill=True)
                server.start()
        near.send((night, fault if server is not None else "killed"))
        errors, reason, *figure = near.recv()
        if second is not None:
            second.join()
        figures.append(figure)
        seen.update(f"{fault}: {error.split(':')[0]}" for error in errors)
        if reason:
            raise AssertionError(reason)
        if night % 20 == 0:
            print(f"{place.name} {night}: {figure}", file=sys.stderr, flush=True)
    near.send(None)
    # What the driver imports, its parent never sees.
    modules = near.recv()
    driver.join()
    return {"met": met, "seen": seen, "kills": kills, "figures": figures, "modules": modules}


def try_night(place: Path, night: int) -> None:
    """A night as a second driver does it, until the other one is in its way."""
    with suppress(Exception):
        run_night(open_loop(place), place, night)


def soak(place: Path, nights: int) -> dict[str, Any]:
    """Both loops through their nights."""
    lines = []
    for name in ("alone", "disturbed"):
        (place / name / "logs").mkdir(parents=True)
        assert in_child(lambda name=name: SmallLoop.under(place / name, **CHANGES)) == 0
        lines.append(Line(free_port(20_000 + os.getpid() * 40 % 20_000, set())))
    alone, other = place / "alone", place / "disturbed"

    def first() -> None:
        outcome = drive(alone, nights, lines[0], 0, None)
        tell(alone)
        (alone / "outcome.json").write_text(json.dumps(outcome))

    assert in_child(first) == 0
    outcome = json.loads((alone / "outcome.json").read_text())
    a_night = outcome["figures"][-1][-1] / nights
    import_as(outcome.pop("modules"))
    note_tracking_uri(other, lines[1].url)
    at, environment = Locations.under(other), os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [str(Path(sys.executable).parent / "mlflow"), "server", "--backend-store-uri", at.tracking_uri]
    command += ["--artifacts-destination", str(other / "mlflow"), "-w", "1", "--port", str(lines[1].server)]
    server = Service("mlflow", other, command, environment, lines[1].server)
    server.start()
    carrier = _fork.Process(target=lines[1].serve, daemon=True)
    carrier.start()
    try:
        met = drive(other, nights, lines[1], a_night, server)
        assert in_child(lambda: tell(other)) == 0
    finally:
        carrier.terminate()
        server.stop()
    ends = {one.name: json.loads((one / "end.json").read_text()) for one in (alone, other)}
    told = {one.name: [json.loads(line) for line in (one / "told.jsonl").open()] for one in (alone, other)}
    del met["modules"]
    return {"alone": outcome, "disturbed": met, "ends": ends, "told": told}


if __name__ == "__main__":
    print(json.dumps(soak(Path(sys.argv[1]), int(sys.argv[2]))))
