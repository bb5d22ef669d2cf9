"""The settings of the services that `make run` starts: ports, secrets, environment variables."""

import importlib.util
import json
import os
import secrets
from pathlib import Path

from evergreen.config.locations import demo_models
from evergreen.demo.database import database_url
from evergreen.demo.service import port_taken
from evergreen.errors import Outage


def make_settings(home: Path, ports: list[int], secret: dict[str, str]) -> dict[str, str]:
    """The environment variables of all services.

    :param home: folder that holds all their state.
    :param ports: of Airflow's pages, of MLflow's, of PostgreSQL.
    :param secret: as ``keep_secrets`` gives them.
    """
    api, mlflow, database = ports
    airflow = home / "airflow"
    return {
        "AIRFLOW_HOME": str(airflow),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url(database, secret["database"], "airflow"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__DAGS_FOLDER": str(_dags_folder()),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(airflow / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{api}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": secret["fernet"],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API__PORT": str(api),
        "AIRFLOW__API__BASE_URL": f"http://localhost:{api}",
        "AIRFLOW__API__SECRET_KEY": secret["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": secret["jwt"],
        # Both measured: at their defaults a task costs seconds of waiting after it has ended.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        # The demo has a home of its own, whatever the shell says of another deployment.
        "EVERGREEN_HOME": str(home),
        "EVERGREEN_ENV": "dev",
        "EVERGREEN_LAKE": str(home / "lake"),
        "EVERGREEN_LANDING": str(home / "landing"),
        "EVERGREEN_MODELS": str(demo_models()),
        "MLFLOW_TRACKING_URI": f"http://localhost:{mlflow}",
        "MLFLOW_BACKEND_STORE_URI": database_url(database, secret["database"], "mlflow"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "OMP_NUM_THREADS": "1",
        # A process that gives itself a title would write it over the mark by which it is known.
        "SPT_NOENV": "1",
        # Without bytecode every process pays some twenty seconds of imports.
        "PYTHONDONTWRITEBYTECODE": "",
    }


def keep_secrets(home: Path) -> dict[str, str]:
    """Secrets and the login of this deployment, made once and readable by nobody else."""
    path = home / "secrets.json"
    if not path.exists():
        from cryptography.fernet import Fernet

        made = {"fernet": Fernet.generate_key().decode()}
        made |= {name: secrets.token_urlsafe(48) for name in ("jwt", "api", "database")}
        made |= {"admin": secrets.token_urlsafe(9)}
        _write_private(path, made)
    kept: dict[str, str] = json.loads(path.read_text())
    _write_private(home / "passwords.json", {"admin": kept["admin"]})
    return kept


def free_port(first: int, taken: set[int]) -> int:
    """The first port from one on that is neither taken nor used by another program."""
    for port in range(first, first + 1000):
        if port not in taken and not port_taken(port):
            taken.add(port)
            return port
    raise Outage(f"no free port from {first} on")


def _dags_folder() -> Path:
    """Where the DAG files lie: a part of the installed plugin, in a checkout ``dags``."""
    found = importlib.util.find_spec("airflow_evergreen")
    if found is None or found.origin is None:
        raise Outage(
            "the package airflow_evergreen is not installed beside evergreen; pip install airflow-provider-evergreen"
        )
    plugin = Path(found.origin).parent
    return installed if (installed := plugin / "wiring").is_dir() else plugin.parents[1] / "dags"


def _write_private(path: Path, content: dict[str, str]) -> None:
    # Whoever is killed while writing leaves the old file.
    half = path.with_name(f"{path.name}.half")
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)
    half.replace(path)
