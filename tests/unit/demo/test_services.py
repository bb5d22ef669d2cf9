"""What `make run` starts with: free ports, secrets of its own, and no leftovers of an earlier run."""

import json
import socket
import subprocess
import sys

import psutil

from evergreen.demo.services import Services


def test_busy_ports_are_stepped_around(tmp_path):
    with socket.socket() as other:
        # The first port that it would take now is somebody else's a moment later.
        usual = Services(tmp_path / "first").api_port
        other.bind(("127.0.0.1", usual))
        other.listen()
        services = Services(tmp_path / "second")
    ports = {
        services.api_port,
        services.mlflow_port,
        int(services.environment["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"]),
    }
    assert services.api_port > usual
    assert len(ports) == 3
    assert services.environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].endswith(f":{services.api_port}/execution/")
    assert str(services.api_port) in services.commands()["api-server"]


def test_secrets_are_made_once_and_kept_from_others(tmp_path):
    first, second = Services(tmp_path), Services(tmp_path)
    assert first.secrets == second.secrets
    assert len(set(first.secrets.values())) == 4
    for name in ("secrets.json", "passwords.json"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
    assert json.loads((tmp_path / "passwords.json").read_text()) == {"admin": first.secrets["admin"]}
    assert Services(tmp_path.parent / "elsewhere").secrets["jwt"] != first.secrets["jwt"]


def test_what_an_earlier_run_left_is_ended_and_nothing_else(tmp_path):
    program = [sys.executable, "-c", "import time; time.sleep(60)"]
    left, other = subprocess.Popen(program), subprocess.Popen(program)
    try:
        noted = {left.pid: psutil.Process(left.pid).create_time(), other.pid: 1.0}
        (tmp_path / "processes.json").write_text(json.dumps(noted))
        Services(tmp_path)._end_leftovers()
        assert not psutil.pid_exists(left.pid)
        assert other.poll() is None
    finally:
        left.kill()
        other.kill()
        other.wait()
