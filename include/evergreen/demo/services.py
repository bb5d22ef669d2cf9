"""The services of a small deployment on one machine: Airflow with LocalExecutor, MLflow's server, and PostgreSQL."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import httpx

from evergreen.config.locations import note_tracking_uri
from evergreen.demo.database import make_cluster, make_databases, serve_cluster
from evergreen.demo.service import Service, end_marked, lock_folder
from evergreen.demo.settings import free_port, keep_secrets, make_settings
from evergreen.errors import Outage, Refused

_COMPONENTS = ("scheduler", "dag_processor", "triggerer")
_STARTS = 3
_LOOK_EVERY = 10.0
_SILENCE = 300.0


@dataclass
class Services:
    """The processes, their ports and their settings.

    :param home: folder that holds all their state.
    :param extra: environment variables that go over the ones made here.
    :param first_ports: where free ports are looked for: Airflow's pages, MLflow's, PostgreSQL's.
    :param tell: takes what a person should hear of.
    """

    home: Path
    extra: dict[str, str] = field(default_factory=dict)
    first_ports: tuple[int, int, int] = (8080, 5000, 5432)
    tell: Callable[[str], None] = logging.getLogger(__name__).warning
    running: dict[str, Service] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = self.home.absolute()
        self._lock: TextIO | None = None
        self._next_look, self._silent = 0.0, dict[str, float]()

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's pages."""
        return f"http://localhost:{self.api_port}"

    @property
    def mlflow_url(self) -> str:
        """Address of MLflow's pages."""
        return f"http://localhost:{self.mlflow_port}"

    def prepare(self) -> None:
        """Take the folder, end what an earlier program has left there, and choose secrets, ports and settings.

        :raises Refused: if another program works in the folder, or an older version has made it.
        """
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        if (self.home / "airflow" / "airflow.db").exists():
            raise Refused(
                f"{self.home} was made by a version that kept Airflow's and MLflow's records in SQLite; this one keeps "
                "them in PostgreSQL: start over (`make clean`), or set EVERGREEN_HOME to another folder"
            )
        self._lock = lock_folder(self.home)
        end_marked(self.home)
        self.secrets = keep_secrets(self.home)
        taken: set[int] = set()
        ports = [free_port(first, taken) for first in self.first_ports]
        self.api_port, self.mlflow_port, self.database_port = ports
        for what, first, port in zip(("Airflow", "MLflow", "PostgreSQL"), self.first_ports, ports, strict=True):
            if port != first:
                self.tell(f"port {first} is taken by another program: {what} takes {port}")
        self.environment = {**os.environ, **make_settings(self.home, ports, self.secrets), **self.extra}
        note_tracking_uri(self.home, self.mlflow_url)
        self.running = {service.name: service for service in self._services()}

    def start(self) -> None:
        """Bring the databases up to date and start every service.

        :raises Refused: as ``prepare`` does.
        :raises Outage: if a database cannot be made.
        """
        self.prepare()
        make_cluster(self.home / "postgres", self.secrets["database"])
        self.start_one("postgres")
        self._await(lambda: make_databases(self.database_port, self.secrets["database"]), 120)
        settings = self.home / "airflow" / "config"
        settings.mkdir(parents=True, exist_ok=True)
        # Airflow imports it in each of its processes, as they start.
        (settings / "airflow_local_settings.py").write_text("import airflow_evergreen.preload\n")
        self._migrate()
        for name in self.running:
            if not self.running[name].alive:
                self.start_one(name)

    def start_one(self, name: str) -> None:
        """Start one service."""
        self.running[name].start()

    def await_health(self, seconds: float = 300) -> None:
        """Wait until every service answers.

        :raises Outage: naming the service that does not start or does not answer.
        """
        self._await(lambda: ", ".join(self.unhealthy()) or None, seconds)

    def watch(self) -> None:
        """Start again what has ended, and end what has been silent for long."""
        for service in self.running.values():
            if (said := service.revive()) is not None:
                self.tell(said)
        now = time.monotonic()
        if now < self._next_look:
            return
        silent = [name for name in self.unhealthy() if self.running[name].alive]
        self._silent = {name: self._silent.get(name, now) for name in silent}
        self._next_look = time.monotonic() + _LOOK_EVERY
        for name, since in list(self._silent.items()):
            if now - since > _SILENCE:
                self.tell(f"{name} has not answered for {now - since:.0f} s; it is ended")
                self.running[name].kill()
                del self._silent[name]

    def unhealthy(self) -> list[str]:
        """Services that do not answer."""
        health = _get_json(f"{self.airflow_url}/api/v2/monitor/health")
        if health is None:
            missing = ["api-server"]
        else:
            missing = [name.replace("_", "-") for name in _COMPONENTS if health[name]["status"] != "healthy"]
        return missing if _answers(f"{self.mlflow_url}/health") else [*missing, "mlflow"]

    def stop_one(self, name: str, kill: bool = False) -> None:
        """End one service and all that it started.

        :param kill: at once, as a power cut would.
        """
        self.running[name].stop(kill)

    def stop(self) -> None:
        """End every service, those that start work first, and let go of the folder."""
        if self._lock is None:
            return
        for service in reversed(self.running.values()):
            service.stop()
        end_marked(self.home)
        self._lock.close()
        self._lock = None

    def _services(self) -> Iterator[Service]:
        """The services, each after those that it needs."""
        programs = Path(sys.executable).parent
        airflow, mlflow = str(programs / "airflow"), str(programs / "mlflow")
        api, tracking, database = self.api_port, self.mlflow_port, self.database_port
        artifacts = ("--artifacts-destination", str(self.home / "mlflow"))

        def service(name: str, *command: str, port: int | None = None) -> Service:
            return Service(name, self.home, list(command), self.environment, port)

        yield Service(
            "postgres",
            self.home,
            serve_cluster(self.home / "postgres", database),
            self.environment,
            database,
            # At once, but in order: who is still connected is sent away.
            ending=signal.SIGINT,
        )
        server = (mlflow, "server", "--host", "127.0.0.1", "--port", str(tracking), "-w", "1", *artifacts)
        yield service("mlflow", *server, port=tracking)
        pages = (airflow, "api-server", "--host", "127.0.0.1", "--port", str(api), "-w", "1")
        yield service("api-server", *pages, port=api)
        yield service("dag-processor", airflow, "dag-processor")
        # Their log servers would listen on every address; the API server finds the files on this disk.
        yield service("triggerer", airflow, "triggerer", "--skip-serve-logs")
        yield service("scheduler", airflow, "scheduler", "--skip-serve-logs")

    def _migrate(self) -> None:
        """Bring Airflow's and MLflow's tables up to date."""
        programs, address = Path(sys.executable).parent, self.environment["MLFLOW_BACKEND_STORE_URI"]
        # A password among the arguments could be read by anybody on this machine.
        password, quiet = self.secrets["database"], {"PGPASSWORD": self.secrets["database"]}
        commands = {
            "airflow-migrate": [str(programs / "airflow"), "db", "migrate"],
            "mlflow-migrate": [str(programs / "mlflow"), "db", "upgrade", address.replace(f":{password}", "")],
        }
        migrations = [Service(name, self.home, command, self.environment | quiet) for name, command in commands.items()]
        for migration in migrations:
            migration.start()
        for migration in migrations:
            if (failure := migration.finish()) is not None:
                raise Outage(failure)

    def _await(self, lacking: Callable[[], str | None], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (lacks := lacking()) is not None:
            for service in self.running.values():
                if (said := service.revive()) is not None:
                    self.tell(said)
                if service.deaths >= _STARTS:
                    raise Outage(f"{service.name} does not start; its log is {service.log}")
            if time.monotonic() > deadline:
                raise Outage(f"not ready after {seconds:.0f} s: {lacks}; the logs are in {self.home / 'logs'}")
            time.sleep(0.3)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back while something is put in order."""
    before = {sign: signal.signal(sign, signal.SIG_IGN) for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


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
