"""MLflow's SQLite database, made whole before it stands under its name.

MLflow migrates an empty file in place, in hundreds of statements of which each counts by itself: killed between two of
them, or begun by two processes at once, the file can never be opened again.
"""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from filelock import FileLock
from mlflow import __version__
from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
from sqlalchemy.engine import make_url

from evergreen.errors import Refused

# What SQLite keeps beside a database: left by an earlier one of the name, it would be played into the new one.
_BESIDE = ("-journal", "-wal", "-shm")


def prepare_backend_store(uri: str, artifacts: str | None = None) -> None:
    """Make MLflow's database where it is an SQLite file and absent, or hold the one that stands there against MLflow.

    :param uri: MLflow's tracking URI; nothing is done where it is no file.
    :param artifacts: where the experiment that MLflow makes by itself keeps its artefacts.
    :raises Refused: if the file was left half made, is of another version of MLflow, or is no database.
    """
    file = _database_file(uri)
    if file is None:
        return
    if not _holds_something(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        # The operating system takes it from a process that dies.
        with FileLock(f"{file}.lock"):
            if not _holds_something(file):
                _make(file, artifacts or DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
    _require_whole(file, uri)


def _database_file(uri: str) -> Path | None:
    if not uri.startswith("sqlite:"):
        return None
    name = make_url(uri).database
    return Path(name) if name and name != ":memory:" and not name.startswith("file:") else None


def _holds_something(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _make(file: Path, artifacts: str) -> None:
    # Here, for it takes a second, and who speaks to a server does without.
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for left in file.parent.glob(f"{file.name}.new*"):
        shutil.rmtree(left)
    # Under a name of its own each time: MLflow keeps a connection to whatever it has once opened.
    with tempfile.TemporaryDirectory(prefix=f"{file.name}.new", dir=file.parent) as scratch:
        aside = Path(scratch) / file.name
        SqlAlchemyStore(f"sqlite:///{aside}", artifacts).engine.dispose()  # type: ignore[no-untyped-call]
        for suffix in _BESIDE:
            Path(f"{file}{suffix}").unlink(missing_ok=True)
        aside.replace(file)


def _require_whole(file: Path, uri: str) -> None:
    """Refuse a database of which MLflow would begin, or go on with, a migration in place."""
    from mlflow.store.db.utils import _get_latest_schema_revision

    needed, found, used = _get_latest_schema_revision(), None, False  # type: ignore[no-untyped-call]
    try:
        with closing(sqlite3.connect(file)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "alembic_version" in tables:
                (found,) = database.execute("SELECT version_num FROM alembic_version").fetchone() or (None,)
            for table in tables & {"runs", "registered_models"}:
                used |= database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None  # noqa: S608
    except sqlite3.OperationalError:
        # Locked, or not to be read: MLflow meets the same, and it may be over by then.
        return
    except sqlite3.DatabaseError as error:
        raise Refused(
            f"{file} is not a sound MLflow database: {error}. Restore it from a backup (docs/backup.md)"
        ) from error
    if found == needed:
        return
    state = f"MLflow's database {file} has schema {found or 'none'}, and MLflow {__version__} needs {needed}"
    if used:
        raise Refused(f"{state}. Back the file up, then run `mlflow db upgrade {uri}`; nothing may use it meanwhile")
    raise Refused(
        f"{state}: it was left half made by a start that was killed, or by two at once. It holds no run and no "
        f"version, so nothing is lost: end what uses it, move {file} and {file}-journal away, and start again"
    )
