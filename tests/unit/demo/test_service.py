"""A service is started again when it ends, and nothing that it started outlives it."""

import os
import signal
import socket
import sys
import time

import psutil
import pytest

from evergreen.demo.service import Service, end_marked, lock_folder, port_taken
from evergreen.errors import Refused

# It starts another program in a session of that one's own, as a worker may, and says its number.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def make(tmp_path):
    made = []
    (tmp_path / "logs").mkdir()

    def make(code, **settings):
        made.append(Service("scheduler", tmp_path, [sys.executable, "-c", code], dict(os.environ), **settings))
        return made[-1]

    yield make
    for service in made:
        service.stop(kill=True)


def soon(true):
    deadline = time.monotonic() + 20
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def child_of(service):
    return int(soon(lambda: service.log.exists() and service.log.read_text()))


def test_one_that_was_killed_is_told_of_and_started_again_without_its_family(make):
    service = make(PARENT)
    service.start()
    child, first = child_of(service), service.process.pid
    assert service.revive() is None
    os.kill(first, signal.SIGKILL)
    said = soon(service.revive)
    log = service.log
    assert said == f"scheduler was ended by signal 9 (SIGKILL); its log is {log}; it starts again in 1 s"
    assert not psutil.pid_exists(child)
    soon(lambda: service.revive() or service.alive)
    assert service.process.pid != first


def test_its_last_error_is_told_and_pauses_grow(make):
    service = make("import sys; print('ValueError: no such thing'); print('bye'); sys.exit(3)")
    service.start()
    told = [soon(service.revive) for _ in range(2)]
    assert told[0].startswith("scheduler ended with 3 (ValueError: no such thing); its log is ")
    assert [said.rpartition(" in ")[2] for said in told] == ["1 s", "2 s"]
    assert service.deaths == 2


def test_one_that_ran_for_long_begins_with_a_short_pause_again(make):
    service = make("raise SystemExit(3)", sound=0)
    service.start()
    assert [soon(service.revive).rpartition(" in ")[2] for _ in range(2)] == ["1 s", "1 s"]
    assert service.deaths == 1


def test_a_port_that_somebody_else_has_is_told(make):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        service = make("raise SystemExit(1)", port=port)
        service.start()
        assert f"; its port {port} is taken by another program; " in soon(service.revive)
    assert not port_taken(port)


def test_one_that_was_stopped_stays_so_and_leaves_nothing(make):
    service = make(PARENT)
    service.start()
    child = child_of(service)
    service.stop()
    assert not psutil.pid_exists(child)
    assert service.revive() is None
    assert not service.alive


def test_what_is_left_is_found_by_its_mark_and_nothing_else_is_ended(make, tmp_path):
    service, other = make(PARENT), make(PARENT)
    other.home = tmp_path / "elsewhere"
    (other.home / "logs").mkdir(parents=True)
    service.start()
    other.start()
    child, spared = child_of(service), child_of(other)
    # Its program is gone, its child is not.
    os.kill(service.process.pid, signal.SIGKILL)
    service.process.wait()
    assert psutil.pid_exists(child)
    end_marked(tmp_path)
    assert not psutil.pid_exists(child)
    assert psutil.pid_exists(spared)
    assert other.alive


def test_a_folder_is_one_programs(tmp_path):
    held = lock_folder(tmp_path)
    with pytest.raises(Refused, match=rf"\(process {os.getpid()}\) works in {tmp_path}: end that one first"):
        lock_folder(tmp_path)
    held.close()
    lock_folder(tmp_path).close()
