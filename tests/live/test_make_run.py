"""`evergreen run` as its user meets it: interrupted while it starts, interrupted while it works, then left alone."""

import os
import signal
import subprocess
import sys
import time
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


def left_running(home: Path) -> list[str]:
    """Processes that work for this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("EVERGREEN_HOME") == str(home):
                found.append(" ".join(process.cmdline()))
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


@pytest.mark.long
def test_it_can_be_interrupted_anywhere_and_goes_on(tmp_path: Path) -> None:
    for seconds in (2, 12, 75):
        program = start(tmp_path)
        time.sleep(seconds)
        program.send_signal(signal.SIGINT)
        program.wait(90)
        assert program.returncode == 130
        assert left_running(tmp_path) == []
    program = start(tmp_path, "--once")
    said, _ = program.communicate(timeout=900)
    assert program.returncode == 0, said[-3000:]
    assert "loop          closed" in said
    assert "login admin, password" in said
    assert left_running(tmp_path) == []
    history = collect_history(
        get_model_folder("taxi", model_roots()), Locations.under(tmp_path), "2024-01-01", "2024-01-24"
    )
    assert {attempt.outcome for attempt in history.attempts} == {"passed", "refused"}
    assert len({attempt.id for attempt in history.attempts}) == len(history.attempts) > 15
