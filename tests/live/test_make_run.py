"""`evergreen run` as its user meets it: interrupted, killed, its services killed beneath it, then left alone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from evergreen.config.locations import Locations, model_roots
from evergreen.config.model_folder import get_model_folder
from evergreen.replay.measured_history import collect_history

ROOT = Path(__file__).parent.parent.parent


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"EVERGREEN_HOME": str(home), "COLUMNS": "200"}
    environment = {name: value for name, value in environment.items() if not name.startswith("AIRFLOW")}
    command = [sys.executable, "-m", "evergreen.cli", "run", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def working_for(home: Path) -> list[psutil.Process]:
    """Processes that work for this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("EVERGREEN_HOME") == str(home):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def kill_service(home: Path, name: str) -> None:
    """Kill the first process of a service, as the kernel does when memory is short."""
    ours = [one for one in working_for(home) if one.environ().get("EVERGREEN_SERVICE") == f"{name}@{home}"]
    min(ours, key=psutil.Process.create_time).kill()


def lines(program: subprocess.Popen[str]) -> Iterator[str]:
    assert program.stdout is not None
    yield from iter(program.stdout.readline, "")


@pytest.mark.long
def test_it_can_be_interrupted_anywhere_and_goes_on(tmp_path: Path) -> None:
    for seconds in (2, 12, 75):
        program = start(tmp_path)
        time.sleep(seconds)
        program.send_signal(signal.SIGINT)
        program.wait(90)
        assert program.returncode == 130
        assert working_for(tmp_path) == []
    # A power cut takes all of it at once, also while PostgreSQL and its tables are being made.
    for seconds in (4, 8, 30):
        program = start(tmp_path)
        time.sleep(seconds)
        for process in working_for(tmp_path):
            process.kill()
        program.wait(90)
    program, said = start(tmp_path, "--once"), []
    doomed = ["scheduler", "dag-processor", "triggerer", "api-server", "mlflow", "postgres"]
    for line in lines(program):
        said.append(line)
        if " s  2024-01-" in line and doomed:
            kill_service(tmp_path, doomed.pop())
    assert program.wait(90) == 0, "".join(said)[-5000:]
    text = "".join(said)
    for name in ("scheduler", "dag-processor", "triggerer", "api-server", "mlflow", "postgres"):
        log = tmp_path / "logs" / f"{name}.log"
        assert f"{name} was ended by signal 9 (SIGKILL); its log is {log}; it starts again in " in text
    assert "loop          closed" in text
    assert "login admin, password" in text
    assert working_for(tmp_path) == []
    history = collect_history(
        get_model_folder("taxi", model_roots()), Locations.under(tmp_path), "2024-01-01", "2024-01-24"
    )
    assert {attempt.outcome for attempt in history.attempts} == {"passed", "refused"}
    assert len({attempt.id for attempt in history.attempts}) == len(history.attempts) > 15
