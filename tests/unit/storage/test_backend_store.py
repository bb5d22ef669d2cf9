"""The first start of MLflow's SQLite database: killed, begun by several at once, or left half made before."""

import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.store.db.utils import create_sqlalchemy_engine
from mlflow.store.tracking.dbmodels.initial_models import Base

from evergreen.errors import Refused
from evergreen.storage.backend_store import prepare_backend_store
from evergreen.storage.model_store import ModelStore


def open_model_store(place):
    return ModelStore(f"sqlite:///{place}/mlflow.db", None, "dev", "taxi")


class Ended(BaseException):
    """The process ends here: nothing answers it. tests/random_kills.py kills for real."""


# Where MLflow's own start in place leaves a table that stops every later one.
@pytest.mark.parametrize("statements", [800])
def test_a_start_that_was_ended_is_begun_anew(tmp_path, statements):
    seen = []

    def end(*_):
        seen.append(1)
        if len(seen) == statements:
            raise Ended

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "after_cursor_execute", end)
    try:
        with pytest.raises(Ended):
            open_model_store(tmp_path)
    finally:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, "after_cursor_execute", end)
    assert not (tmp_path / "mlflow.db").exists()
    assert open_model_store(tmp_path).champion() == (None, 0)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


def test_of_those_that_start_at_once_one_makes_it(tmp_path):
    everybody = threading.Barrier(3)

    def start(_):
        everybody.wait()
        return open_model_store(tmp_path).champion()

    with ThreadPoolExecutor(3) as racers:
        assert list(racers.map(start, range(3))) == [(None, 0)] * 3


def make_half(file):
    """What an older version left that was killed: MLflow's first tables, and none of its migrations."""
    engine = create_sqlalchemy_engine(f"sqlite:///{file}")
    Base.metadata.create_all(engine)
    engine.dispose()


def test_one_that_was_left_half_made_is_told_with_what_to_do(tmp_path):
    file = tmp_path / "mlflow.db"
    make_half(file)
    with pytest.raises(Refused, match=rf"{file} has schema none.*holds no run.*move {file} and {file}-journal away"):
        open_model_store(tmp_path)
    # As the words say.
    file.unlink()
    (tmp_path / "mlflow.db-journal").write_bytes(b"of the database that was moved")
    assert open_model_store(tmp_path).champion() == (None, 0)


def test_one_of_another_version_is_upgraded_by_a_person_never_in_place(tmp_path):
    file = tmp_path / "mlflow.db"
    open_model_store(tmp_path)
    uri = f"sqlite:///{file}"
    MlflowClient(uri, uri).create_run("0")
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE alembic_version SET version_num = 'before'")
        database.commit()
    before = file.read_bytes()
    with pytest.raises(Refused, match=rf"has schema before, and MLflow .*Back the file up.*`mlflow db upgrade {uri}`"):
        prepare_backend_store(uri)
    assert file.read_bytes() == before


def test_what_is_no_database_is_told_by_name(tmp_path):
    (tmp_path / "mlflow.db").write_text(json.dumps({"no": "database"}) * 50)
    with pytest.raises(Refused, match=rf"{tmp_path}/mlflow.db is not a sound MLflow database: .*backup"):
        open_model_store(tmp_path)


@pytest.mark.parametrize(
    "uri", ["http://localhost:1", "sqlite://", "sqlite:///:memory:", "postgresql://nobody@gone/mlflow"]
)
def test_what_is_no_file_is_left_to_mlflow(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare_backend_store(uri)
    assert list(tmp_path.iterdir()) == []
