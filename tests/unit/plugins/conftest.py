"""A deployment in small, and the context that Airflow hands to a task, without Airflow."""

import importlib
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest

from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.storage.stores import open_stores

LOG_URL = "http://localhost:8080/dags/taxi__batch/runs/scheduled__1/tasks/score_batch"


class Instance:
    """What our code asks of a task instance.

    :param states: of the run's tasks, by task id.
    :param others: the same of other runs of the DAG, by run id.
    """

    def __init__(self, dag_id="taxi__batch", run_id="scheduled__1", states=None, paused=False, others=None):
        self.dag_id, self.run_id, self.try_number, self.log_url = dag_id, run_id, 4, LOG_URL
        self.id, self.states, self.paused, self.others = "0193", states or {}, paused, others or {}
        self.pushed = {}

    def get_task_states(self, dag_id, run_ids):
        runs = {**self.others, self.run_id: self.states} if dag_id == self.dag_id else {}
        return {run_id: runs[run_id] for run_id in run_ids if run_id in runs}

    def xcom_push(self, key, value):
        self.pushed[key] = value

    def get_dag(self, dag_id):
        return SimpleNamespace(dag_id=dag_id, is_paused=self.paused)


@pytest.fixture(autouse=True)
def deployment(tmp_path, monkeypatch):
    """A deployment of its own, by the environment, as tasks find it."""
    (tmp_path / "home" / "landing" / "taxi").mkdir(parents=True)
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EVERGREEN_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    return Locations.from_environment()


@pytest.fixture
def model(write_folder):
    """A sound model folder named taxi."""
    return load_model_folder(write_folder())


@pytest.fixture
def ledger(model, deployment):
    """The model's records."""
    return open_stores(deployment, model.id).ledger


@pytest.fixture
def context_of():
    """Make the context of a task; by default of the run that batch 2024-01-02 is for."""

    def make(instance=None, *, end=datetime(2024, 1, 3, 7, tzinfo=UTC), run_type="scheduled", task=None, **params):
        ti = instance or Instance()
        run = SimpleNamespace(run_type=run_type, run_id=ti.run_id, triggering_user_name="ada")
        found = {"params": params, "ti": ti, "task_instance": ti, "dag_run": run, "task": task}
        return found if end is None else {**found, "data_interval_end": end}

    return make


@pytest.fixture
def step(monkeypatch):
    """Put something in a step's place: a value that it returns, or an error that it raises; it keeps its signature."""

    def replace(name, outcome=None):
        module = importlib.import_module(f"evergreen.steps.{name}")
        how = {"side_effect": outcome} if isinstance(outcome, Exception) else {"return_value": outcome}
        monkeypatch.setattr(module, name, create_autospec(getattr(module, name), **how))
        return getattr(module, name)

    return replace


@pytest.fixture
def database(tmp_path, monkeypatch):
    """A database with one table, behind the Airflow connection warehouse."""
    from airflow.providers_manager import HookInfo
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    hook = HookInfo("tests.sqlite_hook.SqliteHook", "sqlite_conn_id", "test", "SQLite", "sqlite", False)
    monkeypatch.setitem(ProvidersManagerTaskRuntime().hooks, "sqlite", hook)
    path = tmp_path / "warehouse.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))

    def run(sql):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(sql)
            connection.commit()

    run("create table loads (day text, done int)")
    return run
