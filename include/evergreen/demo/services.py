"""The services of a small deployment on one machine: Airflow with LocalExecutor and SQLite, and an MLflow server."""

import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from evergreen.config.locations import demo_models
from evergreen.errors import Outage

_COMPONENTS = ("scheduler", "dag_processor", "triggerer")
_STOPPING = 20.0


@dataclass
class Services:
    """The processes, their ports and their settings.

    :param home: folder that holds all their state.
    :param extra: environment variables that go over the ones made here.
    :param first_ports: where free ports are looked for: Airflow's pages, MLflow's, logs of tasks, logs of triggers.
    """

    home: Path
    extra: dict[str, str] = field(default_factory=dict)
    first_ports: tuple[int, int, int, int] = (8080, 5000, 8793, 8794)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = self.home.absolute()
        self.home.mkdir(parents=True, exist_ok=True)
        self.secrets = self._keep_secrets()
        # Some other program may sit on the usual ports: then the next free ones are taken.
        taken: set[int] = set()
        self.api_port, self.mlflow_port, worker_logs, trigger_logs = (
            _free_port(first, taken) for first in self.first_ports
        )
        self.environment = {**os.environ, **self._settings(worker_logs, trigger_logs), **self.extra}

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's pages."""
        return f"http://localhost:{self.api_port}"

    @property
    def mlflow_url(self) -> str:
        """Address of MLflow's pages."""
        return f"http://localhost:{self.mlflow_port}"

    def commands(self) -> dict[str, list[str]]:
        """The command of each service."""
        programs = Path(sys.executable).parent
        airflow, mlflow = str(programs / "airflow"), str(programs / "mlflow")
        store = [
            *("--backend-store-uri", f"sqlite:///{self.home / 'mlflow.db'}"),
            *("--artifacts-destination", str(self.home / "mlflow")),
        ]
        return {
            "mlflow": [mlflow, "server", "--host", "127.0.0.1", "--port", str(self.mlflow_port), "-w", "1", *store],
            "api-server": [airflow, "api-server", "--host", "127.0.0.1", "--port", str(self.api_port), "-w", "1"],
            "scheduler": [airflow, "scheduler"],
            "dag-processor": [airflow, "dag-processor"],
            "triggerer": [airflow, "triggerer"],
        }

    def start(self) -> None:
        """Bring the database up to date and start every service.

        :raises Outage: if the database cannot be made.
        """
        self._end_leftovers()
        logs, settings = self.home / "logs", self.home / "airflow" / "config"
        logs.mkdir(exist_ok=True)
        settings.mkdir(parents=True, exist_ok=True)
        # Airflow imports it in each of its processes, as they start.
        (settings / "airflow_local_settings.py").write_text("import airflow_evergreen.preload\n")
        airflow = str(Path(sys.executable).parent / "airflow")
        with (logs / "migrate.log").open("wb") as log:
            made = subprocess.run(
                [airflow, "db", "migrate"], env=self.environment, stdout=log, stderr=log, cwd=self.home, check=False
            )
        if made.returncode != 0:
            raise Outage(f"airflow db migrate failed; see {logs / 'migrate.log'}")
        for name in self.commands():
            self.start_one(name)

    def start_one(self, name: str) -> None:
        """Start one service; its output goes to ``logs/<name>.log``."""
        with (self.home / "logs" / f"{name}.log").open("ab") as log:
            # A session of its own: Ctrl-C in the terminal reaches this program alone, which ends them in order.
            self.processes[name] = subprocess.Popen(
                self.commands()[name],
                env=self.environment,
                stdout=log,
                stderr=log,
                cwd=self.home,
                start_new_session=True,
            )
        self._note_processes()

    def await_health(self, seconds: float = 300) -> None:
        """Wait until every service answers.

        :raises Outage: naming the service that ended or does not answer.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise Outage(f"{name} ended with {process.returncode}; see {self.home / 'logs' / f'{name}.log'}")
            if not self.unhealthy():
                return
            time.sleep(0.5)
        raise Outage(f"not healthy after {seconds:.0f} s: {', '.join(self.unhealthy())}; see {self.home / 'logs'}")

    def unhealthy(self) -> list[str]:
        """Services that do not answer yet."""
        health = _get_json(f"{self.airflow_url}/api/v2/monitor/health")
        if health is None:
            missing = ["api-server"]
        else:
            missing = [name for name in _COMPONENTS if health[name]["status"] != "healthy"]
        return missing if _answers(f"{self.mlflow_url}/health") else [*missing, "mlflow"]

    def stop_one(self, name: str, kill: bool = False) -> None:
        """End one service and all that it started.

        :param kill: at once, as a power cut would.
        """
        process = self.processes.pop(name, None)
        if process is not None:
            _end(process.pid, kill)
            process.wait()
        self._note_processes()

    def stop(self) -> None:
        """End every service, those that start work first."""
        for name in ("scheduler", "triggerer", "dag-processor", "api-server", "mlflow"):
            self.stop_one(name)

    def _settings(self, worker_logs: int, trigger_logs: int) -> dict[str, str]:
        home, airflow = self.home, self.home / "airflow"
        return {
            "AIRFLOW_HOME": str(airflow),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow / 'airflow.db'}",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__DAGS_FOLDER": str(_dags_folder()),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(airflow / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{self.api_port}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": self.secrets["fernet"],
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "AIRFLOW__API__PORT": str(self.api_port),
            "AIRFLOW__API__BASE_URL": self.airflow_url,
            "AIRFLOW__API__SECRET_KEY": self.secrets["api"],
            "AIRFLOW__API_AUTH__JWT_SECRET": self.secrets["jwt"],
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
            # Both measured: at their defaults a task costs seconds of waiting after it has ended.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
            # The demo has a place of its own, whatever the shell says of another deployment.
            "EVERGREEN_HOME": str(home),
            "EVERGREEN_ENV": "dev",
            "EVERGREEN_LAKE": str(home / "lake"),
            "EVERGREEN_LANDING": str(home / "landing"),
            "EVERGREEN_MODELS": str(demo_models()),
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "OMP_NUM_THREADS": "1",
            # Without bytecode every process pays some twenty seconds of imports.
            "PYTHONDONTWRITEBYTECODE": "",
        }

    def _keep_secrets(self) -> dict[str, str]:
        """Secrets and the login of this deployment, made once and readable by nobody else."""
        path = self.home / "secrets.json"
        if not path.exists():
            from cryptography.fernet import Fernet

            made = {"fernet": Fernet.generate_key().decode()}
            made |= {name: secrets.token_urlsafe(48) for name in ("jwt", "api")} | {"admin": secrets.token_urlsafe(9)}
            _write_private(path, made)
        kept: dict[str, str] = json.loads(path.read_text())
        _write_private(self.home / "passwords.json", {"admin": kept["admin"]})
        return kept

    def _note_processes(self) -> None:
        running = {}
        for process in self.processes.values():
            try:
                running[process.pid] = psutil.Process(process.pid).create_time()
            except psutil.NoSuchProcess:
                continue
        (self.home / "processes.json").write_text(json.dumps(running))

    def _end_leftovers(self) -> None:
        """End what an earlier program of this home could not end itself: two schedulers would share one database."""
        path = self.home / "processes.json"
        for pid, created in json.loads(path.read_text()).items() if path.exists() else ():
            if psutil.pid_exists(int(pid)) and psutil.Process(int(pid)).create_time() == created:
                _end(int(pid), kill=False)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back while something is put in order."""
    before = {sign: signal.signal(sign, signal.SIG_IGN) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def _dags_folder() -> Path:
    """Where the DAG files lie: a part of the installed plugin, in a checkout ``dags``."""
    found = importlib.util.find_spec("airflow_evergreen")
    if found is None or found.origin is None:
        raise Outage(
            "the package airflow_evergreen is not installed beside evergreen; pip install airflow-provider-evergreen"
        )
    plugin = Path(found.origin).parent
    return installed if (installed := plugin / "wiring").is_dir() else plugin.parents[1] / "dags"


def _end(pid: int, kill: bool) -> None:
    """End a process and its descendants, whichever sessions they have moved to."""
    try:
        leader = psutil.Process(pid)
        family = [*leader.children(recursive=True), leader]
    except psutil.NoSuchProcess:
        return
    if not kill:
        leader.terminate()
        psutil.wait_procs([leader], timeout=_STOPPING)
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue


def _free_port(first: int, taken: set[int]) -> int:
    for port in range(first, first + 1000):
        if port in taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        taken.add(port)
        return port
    raise Outage(f"no free port from {first} on")


def _write_private(path: Path, content: dict[str, str]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _get_json(url: str) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = httpx.get(url, timeout=5).raise_for_status().json()
        return content
    except (httpx.HTTPError, ValueError):
        return None
