"""A deployment in small, and the context that Airflow hands to a task, without Airflow."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from include.config.locations import Locations
from include.config.model_folder import load_model_folder
from include.storage.stores import open_stores

LOG_URL = "http://localhost:8080/dags/taxi__batch/runs/scheduled__1/tasks/score_batch"


class Instance:
    """What our code asks of a task instance.

    :param states: of the run's tasks, by task id.
    """

    def __init__(self, dag_id="taxi__batch", run_id="scheduled__1", states=None, paused=False):
        self.dag_id, self.run_id, self.try_number, self.log_url = dag_id, run_id, 4, LOG_URL
        self.id, self.states, self.paused = "0193", states or {}, paused

    def get_task_states(self, dag_id, run_ids):
        return {run_id: self.states for run_id in run_ids if run_id == self.run_id and dag_id == self.dag_id}

    def get_dag(self, dag_id):
        return SimpleNamespace(dag_id=dag_id, is_paused=self.paused)


@pytest.fixture(autouse=True)
def deployment(tmp_path, monkeypatch):
    """A deployment of its own, by the environment, as tasks find it."""
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
