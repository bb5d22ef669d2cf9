"""One prediction over HTTP beside raw predict, and beside MLflow's own server, in one run.

`make bench-serving` runs it. Each server is a process of its own on loopback, asked by one caller, one request after
the other, over one connection of Python's own library; raw predict is `estimator.predict` on an array of finished
features in this process. All are asked in turns, so that a busy machine slows each alike.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import yaml

from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.demo.stream import DemoStream
from evergreen.records import ArmsRecord, PromotionRecord
from evergreen.replay.runner import Runner
from evergreen.serving.champions import Champion, ServedVersion
from evergreen.serving.request import RowContract
from evergreen.serving.values import as_frame
from evergreen.storage.stores import open_stores
from tests.short_loop import TAXI, lay_registry

# Calls of each in a turn, and turns.
SIZES, REQUESTS, TURNS = (1, 10, 100), 50, 8
KEPT: dict[str, dict[str, object]] = {
    "nothing kept": {},
    "answers kept": {"answers": True},
    "a shadow beside": {"shadow": True},
}


def main(place: Path) -> None:
    """Print p10, p50 and p99 in milliseconds, and the former two relative to raw predict on arrays."""
    model, at = load_model_folder(TAXI), Locations.under(place)
    lay_registry(at)
    stream, runner = DemoStream(), Runner(model, at, sinks=())
    for number in (1, 2, 3):
        stream.land(Path(at.landing) / model.id, number)
        runner.run_batch(model.config.calendar.name(number - 1))
    champion = Champion(model, at)
    champion.follow()
    served = champion.require()
    rows = _rows(place, max(SIZES))
    print(f"{'rows':>5} {'who':<34} {'p10 ms':>8} {'p50 ms':>8} {'p99 ms':>8} {'p10/raw':>8} {'p50/raw':>8}")
    contract = RowContract.of(model, 1_000)
    uri = f"models:/{open_stores(at, model.id).models.name}/{served.version}"
    with _server("evergreen.cli", "serve", model.id, "--port", place=place) as ours, _mlflow(uri, at) as theirs:
        for size in SIZES:
            body = json.dumps({"rows": rows[:size]}).encode()
            frame = as_frame(contract.read(body, served.batch), served.columns)
            features = served.packed.features.build_features(frame, served.history)
            array = features.to_numpy(dtype=float)
            split = json.dumps({"dataframe_records": rows[:size]}).encode()
            calls = {
                "raw predict on an array": partial(served.packed.estimator.predict, array),
                "features.py, predict on its frame": partial(_predict, served, frame),
                "evergreen serve": partial(_post, ours, "/models/taxi/predict", body),
                "mlflow models serve": partial(_post, theirs, "/invocations", split),
            }
            _say(size, _time_in_turns(calls))


def kept(place: Path) -> None:
    """Print what it costs a caller that answers are kept, and that a challenger answers unseen: in turns, one row."""
    at = Locations.under(place)
    folders = {name: _folder_that(place / name, said) for name, said in KEPT.items()}
    ledger = open_stores(at, "taxi").ledger
    champion = ledger.last(PromotionRecord, "champion")
    assert champion is not None
    # Of the champion itself, so that a shadow costs what an answer does.
    who = {"experiment": 0, "challenger": str(champion.version), "state": "running", "share": 0.0}
    ledger.put(ArmsRecord(as_of=champion.as_of, n=0, since=champion.as_of, why="a bench", **who))  # type: ignore[arg-type]
    body = json.dumps({"rows": _rows(place, 1)}).encode()
    with ExitStack() as servers:
        clients = {
            name: servers.enter_context(
                _server("evergreen.cli", "serve", "taxi", "--flush", "1", "--port", place=place, models=folder)
            )
            for name, folder in folders.items()
        }
        calls = {name: partial(_post, client, "/models/taxi/predict", body) for name, client in clients.items()}
        # One request each in a turn: who is asked meets the same moment of the machine.
        _say(1, _time_in_turns(calls, requests=1, turns=1_600))


def _folder_that(place: Path, said: dict[str, object]) -> Path:
    """The demo's folder with another `serving`."""
    shutil.copytree(TAXI, place / TAXI.name, dirs_exist_ok=True)
    config = yaml.safe_load((TAXI / "config.yaml").read_text()) | {"serving": said}
    (place / TAXI.name / "config.yaml").write_text(yaml.safe_dump(config))
    return place


def _predict(served: ServedVersion, frame: pd.DataFrame) -> None:
    served.packed.estimator.predict(served.packed.features.build_features(frame, served.history))


def _rows(place: Path, count: int) -> list[dict[str, object]]:
    """Rows as a caller has them, of a day that has not come."""
    DemoStream().land(place / "more", 4)
    (file,) = sorted((place / "more").glob("green_*.csv.gz"))
    frame = pd.read_csv(file, dtype={"PULocationID": str, "DOLocationID": str, "payment_type": str}).dropna()
    names = list(load_model_folder(TAXI).config.rows.columns)
    frame = frame[pd.to_datetime(frame["lpep_pickup_datetime"], errors="coerce").notna()]
    frame = frame[frame["trip_distance"].between(0.1, 60) & frame["passenger_count"].between(0, 9)][names]
    frame["passenger_count"] = frame["passenger_count"].astype(int)
    return json.loads(frame.head(count).to_json(orient="records"))


def _time_in_turns(
    calls: dict[str, Callable[[], object]], requests: int = REQUESTS, turns: int = TURNS
) -> dict[str, list[float]]:
    """Milliseconds of each call."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(20):
            call()
    for _ in range(turns):
        for name, call in calls.items():
            for _ in range(requests):
                begun = time.perf_counter()
                call()
                took[name].append(1_000 * (time.perf_counter() - begun))
    return took


def _say(size: int, took: dict[str, list[float]]) -> None:
    """Each one's fastest tenth, which a busy machine slows least, median and 99th percentile; two beside the first."""
    quantiles = {who: np.quantile(times, [0.1, 0.5, 0.99]) for who, times in took.items()}
    first = next(iter(quantiles.values()))
    for who, told in quantiles.items():
        beside = told / first
        numbers = " ".join(f"{number:>8.2f}" for number in (*told, beside[0], beside[1]))
        print(f"{size:>5} {who:<34} {numbers}", flush=True)


def _post(connection: HTTPConnection, path: str, body: bytes) -> None:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    told = answer.read()
    assert answer.status == 200, told


def _mlflow(uri: str, at: Locations) -> "Iterator[HTTPConnection]":
    # It starts uvicorn by name.
    more = {"MLFLOW_TRACKING_URI": at.tracking_uri, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return _server("mlflow", "models", "serve", "--env-manager", "local", "-m", uri, "-p", place=None, more=more)


@contextmanager
def _server(
    module: str, *arguments: str, place: Path | None, more: dict[str, str] | None = None, models: Path = TAXI.parent
) -> Iterator[HTTPConnection]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | (more or {})
    if place is not None:
        environment |= {"EVERGREEN_HOME": str(place), "EVERGREEN_MODELS": str(models)}
    command = [sys.executable, "-m", module, *arguments, str(port)]
    # What it says is shown where it ends by itself.
    log = tempfile.TemporaryFile()  # noqa: SIM115 - its end is the process's
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        if process.poll() is not None:
            log.seek(0)
            raise RuntimeError(log.read().decode())
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        yield connection
        connection.close()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch))
        kept(Path(scratch))
