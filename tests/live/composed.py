"""docker-compose.yaml without an engine: each service's own command and environment, as a process on loopback.

What differs from containers is one table: host names become loopback with free ports, folders of the image become this
checkout and scratch folders. The object store is moto's server, PostgreSQL and Redis are the machine's own.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import yaml

from evergreen.config.locations import Locations
from evergreen.storage.objects import open_store
from evergreen.storage.stores import open_stores
from tests.live.compose_file import ROOT, image_environment, interpolate, make_env
from tests.s3 import MOTO

POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
REDIS = shutil.which("redis-server")
_STORES = {"postgres", "s3", "redis", "mlflow", "api-server"}
_HOSTS = ("postgres:5432", "s3:8333", "mlflow:5000", "api-server:8080", "redis:6379")


@dataclass
class Composed:
    """The services of docker-compose.yaml as processes.

    :param place: scratch folder.
    :param profiles: profiles that are on.
    :param settings: lines of .env beside the secrets.
    :param models: goes into EVERGREEN_MODELS, as a volume over include/models would.
    """

    place: Path
    profiles: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    models: Path | None = None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.landing = self.place / "landing"
        self.env = make_env(self.place / ".env", LANDING_DIR=str(self.landing), **self.settings)
        file = interpolate(yaml.safe_load((ROOT / "docker-compose.yaml").read_text()), self.env)
        services = file["services"].items()
        self.services = {name: one for name, one in services if set(one.get("profiles", ())) <= set(self.profiles)}
        self.ports = dict(zip((*_HOSTS, "worker logs", "trigger logs"), _free_ports(len(_HOSTS) + 2), strict=True))
        # The server of PostgreSQL runs as a user of its own, who cannot enter pytest's folders.
        self.database = Path(tempfile.mkdtemp(prefix="evergreen-postgres-"))

    def url(self, host: str) -> str:
        """Where a service of the compose file answers here, such as ``mlflow:5000``."""
        return f"http://127.0.0.1:{self.ports[host]}"

    def adapt(self, name: str, text: str) -> str:
        """The table: what a service's command or environment says, as it is on this machine."""
        api, redis = self.ports["api-server:8080"], self.ports["redis:6379"]
        table = {
            **{host: f"127.0.0.1:{self.ports[host]}" for host in _HOSTS},
            "localhost:5000": f"localhost:{self.ports['mlflow:5000']}",
            "localhost:8080": f"localhost:{api}",
            "--port 6379": f"--bind 127.0.0.1 --port {redis}",
            "-p 6379": f"-p {redis}",
            "0.0.0.0": "127.0.0.1",
            "/opt/evergreen/airflow": str(self.place / "airflow" / name),
            "/opt/evergreen/home": str(self.place / "home" / name),
            "/opt/evergreen/logs": str(self.place / "logs"),
            "/opt/evergreen/landing": str(self.landing),
            "/opt/evergreen/metrics": str(self.place / "metrics"),
            "/opt/evergreen": str(ROOT),
        }
        for there, here in table.items():
            text = text.replace(there, here)
        return text

    def environment(self, name: str) -> dict[str, str]:
        """What a service finds in its environment, here."""
        service = self.services[name]
        said = {**(image_environment() if "build" in service else {}), **service.get("environment", {})}
        said = {key: self.adapt(name, str(value)) for key, value in said.items()}
        ports = {"PGPORT": "postgres:5432", "MLFLOW_PORT": "mlflow:5000"}
        said |= {key: str(self.ports[host]) for key, host in ports.items() if key in said}
        said |= {"PGHOST": "127.0.0.1"} if "PGHOST" in said else {}
        if "AIRFLOW_HOME" in said:
            # A container has ports of its own.
            said |= {
                "AIRFLOW__API__HOST": "127.0.0.1",
                "AIRFLOW__API__PORT": str(self.ports["api-server:8080"]),
                "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self.ports["worker logs"]),
                "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self.ports["trigger logs"]),
            }
            said |= {"EVERGREEN_MODELS": str(self.models)} if self.models else {}
        path = [Path(sys.executable).parent, POSTGRES, *os.environ["PATH"].split(os.pathsep)]
        home, settings = self.place / "home" / name, self.place / "airflow" / name / "config"
        home.mkdir(parents=True, exist_ok=True)
        settings.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "plugins" / "airflow_local_settings.py", settings)
        return {"PATH": os.pathsep.join(map(str, path)), "HOME": str(home), "LANG": "C.UTF-8", **said}

    def command(self, name: str) -> list[str]:
        """A service's command, here."""
        if name == "s3":
            return [sys.executable, "-c", MOTO, str(self.ports["s3:8333"])]
        command = [self.adapt(name, word) for word in self.services[name]["command"]]
        if name == "postgres":
            # What the image brings: a data folder, and a user that is not root.
            command += ["-F", "-D", str(self.database / "data"), "-k", str(self.database), "-h", "127.0.0.1"]
            return [*_AS_POSTGRES, *command]
        return command

    @contextmanager
    def running(self) -> Iterator[Locations]:
        """Bring everything up, and stand beside it with the keys to its store, as a person's `evergreen` would."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment("scheduler").items():
                if name.startswith("AWS_"):
                    patch.setenv(name, value)
            # Stores that are open belong to another test's deployment.
            open_store.cache_clear()
            open_stores.cache_clear()
            try:
                self.up()
                yield Locations("dev", "s3://evergreen/lake", str(self.landing), self.url("mlflow:5000"))
            finally:
                self.down()

    def query(self, role: str, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database of Airflow or MLflow."""
        password, port = self.env[f"{role.upper()}_DB_PASSWORD"], self.ports["postgres:5432"]
        with psycopg2.connect(host="127.0.0.1", port=port, user=role, password=password, dbname=role) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return list(cursor.fetchall())

    def up(self) -> None:
        """Start what the profiles ask for, each when what it depends on is as it demands."""
        started: list[str] = []

        def start(name: str) -> None:
            if name in started:
                return
            conditions = self.services[name].get("depends_on", {})
            for other in conditions:
                start(other)
            for other, demand in conditions.items():
                self._await(other, demand["condition"])
            self._start(name)
            started.append(name)

        for name in self.services:
            start(name)
        for name in self.services:
            if "healthcheck" in self.services[name]:
                self._await(name, "service_healthy")

    def run_again(self, name: str) -> int:
        """Run a one-shot service once more, as every `up` does; returns its exit code."""
        self._start(name)
        return self.processes[name].wait(timeout=300)

    def down(self) -> None:
        """End every process, the stores last."""
        running = [name for name, process in self.processes.items() if process.poll() is None]
        for wave in (set(running) - _STORES, set(running) & _STORES):
            leaders = [psutil.Process(self.processes[name].pid) for name in wave]
            family = [member for leader in leaders for member in (leader, *leader.children(recursive=True))]
            for leader in leaders:
                leader.terminate()
            psutil.wait_procs(leaders, timeout=20)
            for member in family:
                if member.is_running():
                    member.kill()
        for process in self.processes.values():
            process.wait()
        shutil.rmtree(self.database, ignore_errors=True)

    def log(self, name: str) -> str:
        """What a service has said."""
        return (self.place / f"{name}.log").read_text(errors="replace")

    def _start(self, name: str) -> None:
        if name == "postgres":
            self._make_cluster()
        with (self.place / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.command(name), env=self.environment(name), cwd=self._cwd(name), stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _cwd(self, name: str) -> Path:
        return self.database if name == "postgres" else self.place / "home" / name

    def _await(self, name: str, condition: str, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = self.processes[name].poll()
            if condition == "service_completed_successfully" and ended == 0:
                return
            assert ended is None, f"{name} ended with {ended}: {self.log(name)[-3000:]}"
            if condition == "service_healthy" and self.healthy(name):
                return
            time.sleep(0.3)
        raise AssertionError(f"{name}: not {condition} after {seconds:.0f} s: {self.log(name)[-3000:]}")

    def healthy(self, name: str) -> bool:
        """Whether a service's own health check passes."""
        if name == "s3":
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.ports["s3:8333"])) == 0
        kind, *words = [self.adapt(name, word) for word in self.services[name]["healthcheck"]["test"]]
        command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        return subprocess.run(command, env=self.environment(name), capture_output=True, timeout=60).returncode == 0

    def _make_cluster(self) -> None:
        said = self.services["postgres"]["environment"]
        (self.database / "password").write_text(said["POSTGRES_PASSWORD"])
        for path in (self.database, self.database / "password"):
            shutil.chown(path, *(("postgres", "postgres") if _AS_POSTGRES else (os.getuid(), os.getgid())))
        subprocess.run(
            [*_AS_POSTGRES, str(POSTGRES / "initdb"), "--pgdata", str(self.database / "data"), "--username",  # type: ignore[operator]
             said["POSTGRES_USER"], "--pwfile", str(self.database / "password"), "--auth", "scram-sha-256",
             "--encoding", "UTF8"],
            check=True, capture_output=True, cwd=self.database,
        )  # fmt: skip


_AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.getuid() == 0 else []


def _free_ports(number: int) -> list[int]:
    probes = [socket.socket() for _ in range(number)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
