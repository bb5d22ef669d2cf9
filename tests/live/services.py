"""A real Airflow and a real MLflow for tests: started, asked over the API, broken on purpose, ended."""

import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
import yaml

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder, load_model_folder
from evergreen.demo.services import Services
from tests.short_loop import SHORT, TAXI

# The taxi folder's own schedule; each test says where it ends, for beyond that nobody need wait.
NIGHTLY = {"every": "day", "cron": "0 2 * * *", "timezone": "America/New_York", "start": "2024-01-01"}

# A worker or a triggerer that was killed is missed after seconds, not minutes.
FAST_TO_MISS = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}


@dataclass
class Live:
    """Running services, and what a test asks of them."""

    services: Services
    token: str = ""

    @property
    def at(self) -> Locations:
        return replace(Locations.under(self.services.home), tracking_uri=self.services.mlflow_url, artifacts=None)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask Airflow's API."""
        if not self.token:
            login = {"username": "admin", "password": self.services.secrets["admin"]}
            self.token = self._send("POST", "/auth/token", login)["access_token"]
        return self._send(method, f"/api/v2{path}", body)

    def trigger(self, dag_id: str, run_id: str, **conf: Any) -> None:
        self.call("POST", f"/dags/{dag_id}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf})

    def query(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read Airflow's database; ``?`` stands for a value."""
        address = self.services.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
        with closing(psycopg2.connect(address.replace("+psycopg2", ""))) as connection, connection.cursor() as cursor:
            cursor.execute(text.replace("?", "%s"), values)
            return list(cursor.fetchall())

    def runs(self, dag_id: str) -> dict[str, str]:
        """State of each run of a DAG."""
        return dict(self.query("select run_id, state from dag_run where dag_id = ?", dag_id))  # type: ignore[arg-type]

    def tasks(self, dag_id: str, run_id: str) -> dict[str, tuple[str, int]]:
        """State and try number of each task of a run."""
        text = "select task_id, state, try_number from task_instance where dag_id = ? and run_id = ?"
        return {task: (state, tries) for task, state, tries in self.query(text, dag_id, run_id)}

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        request = urllib.request.Request(self.services.airflow_url + path, method=method)
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        content = json.dumps(body).encode() if body is not None else None
        try:
            with urllib.request.urlopen(request, content, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()[:500]}") from error


@contextmanager
def running(home: Path, models: Path, **extra: str) -> Iterator[Live]:
    """Services over the model folders of a root, until the block ends."""
    # Tests beside this one look for free ports at the same moment: each process looks elsewhere.
    base = 20_000 + os.getpid() * 40 % 20_000
    settings = {
        "EVERGREEN_MODELS": str(models),
        # A scheduler that looks at every open run several times a second takes half a core for it.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
        # Model folders are there when the services start, or a test waits for one that comes later.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        # Tests look at a page that they have just opened: it need not ask anew every three seconds.
        "AIRFLOW__API__AUTO_REFRESH_INTERVAL": "30",
        **extra,
    }
    services = Services(home, settings, (base, base + 10, base + 20))
    try:
        services.start()
        services.await_health(seconds=600)
        yield Live(services)
    finally:
        services.stop()


def wait_until(true: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait for something to be so."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.3)
    return found


def make_model(root: Path, name: str, short: bool = True, **changes: Any) -> ModelFolder:
    """A copy of the taxi folder, with short windows, and with other parts of config.yaml where they are given."""
    path = root / name
    shutil.copytree(TAXI, path, ignore=shutil.ignore_patterns("__pycache__"))
    config = yaml.safe_load((path / "config.yaml").read_text()) | (SHORT if short else {}) | changes
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    return load_model_folder(path)
