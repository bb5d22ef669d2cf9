"""What `make run` starts with: free ports, secrets of its own, a folder of its own, and no leftovers."""

import json
import socket
import sys
import time

import pytest

from evergreen.config.locations import Locations
from evergreen.demo.services import Services
from evergreen.errors import Refused


@pytest.fixture
def prepare():
    made = []

    def prepare(home, **settings):
        made.append(Services(home, **settings))
        made[-1].prepare()
        return made[-1]

    yield prepare
    for services in made:
        services.stop()


def test_busy_ports_are_stepped_around_and_it_is_said(tmp_path, prepare):
    told = []
    with socket.socket() as other:
        # The first port that it would take now is somebody else's a moment later.
        usual = prepare(tmp_path / "first").api_port
        other.bind(("127.0.0.1", usual))
        other.listen()
        services = prepare(tmp_path / "second", first_ports=(usual, 5000, 5432), tell=told.append)
    assert services.api_port > usual
    assert len({services.api_port, services.mlflow_port, services.database_port}) == 3
    assert services.environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].endswith(f":{services.api_port}/execution/")
    assert str(services.api_port) in services.running["api-server"].command
    assert f"port {usual} is taken by another program: Airflow takes {services.api_port}" in told


def test_secrets_are_made_once_and_kept_from_others(tmp_path, prepare):
    first = prepare(tmp_path)
    first.stop()
    second = prepare(tmp_path)
    assert first.secrets == second.secrets
    assert len(set(first.secrets.values())) == 5
    for name in ("secrets.json", "passwords.json"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
    assert json.loads((tmp_path / "passwords.json").read_text()) == {"admin": first.secrets["admin"]}
    assert prepare(tmp_path.parent / "elsewhere").secrets["jwt"] != first.secrets["jwt"]
    # Other people of this machine may read what a program was called with.
    said = [word for service in second.running.values() for word in service.command]
    assert [word for word in said for secret in second.secrets.values() if secret in word] == []


def test_two_at_once_in_one_folder(tmp_path, prepare):
    prepare(tmp_path)
    with pytest.raises(Refused, match=r"another `evergreen run` .* set EVERGREEN_HOME to another folder"):
        prepare(tmp_path)


def test_a_folder_of_the_version_that_kept_its_records_in_sqlite(tmp_path, prepare):
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow" / "airflow.db").touch()
    with pytest.raises(Refused, match=r"kept Airflow.s and MLflow.s records in SQLite; .* start over \(`make clean`\)"):
        prepare(tmp_path)


def test_commands_beside_it_ask_its_mlflow(tmp_path, prepare, monkeypatch):
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    services = prepare(tmp_path)
    at = Locations.from_environment()
    assert (at.tracking_uri, at.artifacts) == (services.mlflow_url, None)


def test_one_that_runs_and_does_not_answer_is_ended_and_started_again(tmp_path, prepare, monkeypatch):
    monkeypatch.setattr("evergreen.demo.services._LOOK_EVERY", 0)
    monkeypatch.setattr("evergreen.demo.services._SILENCE", 0.2)
    told = []
    # Where no service listens, and no other program either.
    services = prepare(tmp_path, first_ports=(23_080, 23_500, 23_432), tell=told.append)
    hung = services.running["mlflow"]
    hung.command = [sys.executable, "-c", "import time; time.sleep(60)"]
    services.start_one("mlflow")
    first, deadline = hung.process.pid, time.monotonic() + 30
    while len(told) < 2 or not hung.alive:
        services.watch()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert told[0].startswith("mlflow has not answered for ")
    assert told[1].startswith("mlflow was ended by signal 9 (SIGKILL); its log is ")
    assert hung.process.pid != first
