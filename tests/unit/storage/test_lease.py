"""Who may work: a lease that the living keep and the dead lose."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evergreen.config.locations import Locations
from evergreen.errors import NotReady
from evergreen.storage import lease
from evergreen.storage.lease import hold_lease

WORK = "2024-01-04.0"
DIES = """
import os, sys
from evergreen.config.locations import Locations
from evergreen.storage.lease import hold_lease
with hold_lease(Locations("dev", sys.argv[1], "", ""), "taxi", sys.argv[2]):
    os._exit(9)
"""


@pytest.fixture
def at(tmp_path):
    return Locations.under(tmp_path)


def held(at):
    """The leases there are, by number."""
    return {int(file.name.split(".")[-2]): file for file in Path(at.lake).rglob("leases/dev/taxi/*.json")}


def leave(at, until, n=0, host="elsewhere"):
    """A lease as a process of another machine has written it."""
    folder = Path(at.lake) / "leases" / "dev" / "taxi"
    folder.mkdir(parents=True, exist_ok=True)
    written = {"host": host, "process": os.getpid(), "until": (datetime.now(UTC) + until).isoformat()}
    (folder / f"{WORK}.{n}.json").write_text(json.dumps(written))


def test_one_at_a_time_and_nothing_is_left(at):
    with hold_lease(at, "taxi", WORK):
        told = f"model taxi: attempt {WORK} is being worked on by process {os.getpid()} on {socket.gethostname()}.*Wait"
        with pytest.raises(NotReady, match=told), hold_lease(at, "taxi", WORK):
            pass
        with hold_lease(at, "taxi", "2024-01-05.0"), hold_lease(at, "bikes", WORK):
            pass
    assert held(at) == {}
    with pytest.raises(ZeroDivisionError), hold_lease(at, "taxi", WORK):
        _ = 1 / 0
    assert held(at) == {}


def test_a_process_that_died_on_this_machine_has_lost_it(at):
    # Not forked: the object store's own threads would be missing in the child.
    assert subprocess.run([sys.executable, "-c", DIES, at.lake, WORK]).returncode == 9
    assert list(held(at)) == [0]
    with hold_lease(at, "taxi", WORK):
        assert sorted(held(at)) == [0, 1]
    assert held(at) == {}


def test_on_another_machine_time_tells(at):
    leave(at, timedelta(minutes=1))
    with pytest.raises(NotReady, match="on elsewhere"), hold_lease(at, "taxi", WORK):
        pass
    leave(at, timedelta(minutes=-1))
    with hold_lease(at, "taxi", WORK):
        assert sorted(held(at)) == [0, 1]


@pytest.mark.parametrize("content", ["", '{"host": "elsewh', "[]", '{"host": "elsewhere"}'])
def test_one_that_was_cut_off_as_it_was_written_is_nobodys(at, content):
    leave(at, timedelta(minutes=1))
    held(at)[0].write_text(content)
    with hold_lease(at, "taxi", WORK):
        pass
    assert held(at) == {}


def test_of_those_that_find_a_dead_ones_one_takes_it(at):
    leave(at, timedelta(minutes=-1))
    everybody = threading.Barrier(8)

    def take(_):
        everybody.wait()
        try:
            with hold_lease(at, "taxi", WORK):
                everybody.wait()
                return True
        except NotReady:
            everybody.wait()
            return False

    with ThreadPoolExecutor(8) as racers:
        assert sum(racers.map(take, range(8))) == 1


def test_it_is_renewed_while_the_work_goes_on(at, monkeypatch):
    monkeypatch.setattr(lease, "_RENEWED_AFTER", timedelta(milliseconds=10))
    with hold_lease(at, "taxi", WORK):
        leave(at, timedelta(minutes=-1))
        while json.loads(held(at)[0].read_text() or "{}").get("host") == "elsewhere":
            time.sleep(0.01)
        with pytest.raises(NotReady), hold_lease(at, "taxi", WORK):
            pass


def test_who_has_lost_it_takes_nothing_from_its_successor(at, monkeypatch):
    monkeypatch.setattr(lease, "_RENEWED_AFTER", timedelta(milliseconds=10))
    with hold_lease(at, "taxi", WORK):
        leave(at, timedelta(minutes=1), n=1)
    assert sorted(held(at)) == [0, 1]
