"""Leases: who is at a piece of work that two must not do at once. They spare work; no decision depends on one."""

import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import obstore
import psutil
from obstore.exceptions import AlreadyExistsError, NotFoundError
from obstore.store import ObjectStore

from evergreen.config.locations import Locations
from evergreen.errors import NotReady, Outage
from evergreen.storage.objects import open_store, reached

_logger = logging.getLogger(__name__)
# Whoever has not renewed a lease for so long is taken for dead. On the same machine a process that is gone is at once.
_LASTING, _RENEWED_AFTER = timedelta(minutes=2), timedelta(seconds=20)


@contextmanager
def hold_lease(at: Locations, model_id: str, work: str) -> Iterator[None]:
    """Be the only process at a piece of work while the block runs.

    A lease is a numbered file that is created only if it is absent. Whoever finds a dead one's takes the next number,
    and with the work all of them go.

    :param work: its name, such as an attempt's id.
    :raises NotReady: while another that lives is at it.
    """
    uri = f"{at.lake.rstrip('/')}/leases"
    store, name = open_store(uri), f"{at.env}/{model_id}/{work}"
    with reached(f"{uri}/{name}"):
        n = _take(store, name, f"model {model_id}: attempt {work}")
    over = threading.Event()
    renewing = threading.Thread(target=_renew, args=(store, name, n, over), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join()
        _release(store, name, n)


def _take(store: ObjectStore, name: str, what: str) -> int:
    """The number of the lease that is now this process's own."""
    n = 0
    while True:
        try:
            obstore.put(store, f"{name}.{n}.json", _written(), mode="create")
        except AlreadyExistsError:
            holder = _read(store, name, n)
            if holder is not None and (told := _living(holder)):
                raise NotReady(
                    f"{what} is being worked on by {told}. Wait until it is done, or end that process; "
                    "the next try goes on from there"
                ) from None
            n += holder is not None
        else:
            return n


def _living(holder: bytes) -> str:
    """What is told of a lease's holder; nothing of one that is dead."""
    try:
        held = json.loads(holder)
        host, process, until = held["host"], int(held["process"]), datetime.fromisoformat(held["until"])
    except (ValueError, KeyError, TypeError):
        # The machine went down as it was written.
        return ""
    gone = host == socket.gethostname() and not psutil.pid_exists(process)
    return "" if gone or until < datetime.now(UTC) else f"process {process} on {host}, which holds it until {until}"


def _renew(store: ObjectStore, name: str, n: int, over: threading.Event) -> None:
    while not over.wait(_RENEWED_AFTER.total_seconds()):
        try:
            with reached(name):
                if _read(store, name, n + 1) is not None:
                    return
                obstore.put(store, f"{name}.{n}.json", _written())
        except Outage as outage:
            _logger.warning("a lease could not be renewed; another process may take it: %s", outage)


def _release(store: ObjectStore, name: str, n: int) -> None:
    """Take the lease away with those of the dead before it, its own last; one that was lost is its successor's."""
    try:
        with reached(name):
            if _read(store, name, n + 1) is None:
                for i in range(n + 1):
                    with suppress(FileNotFoundError, NotFoundError):
                        obstore.delete(store, f"{name}.{i}.json")
    except Outage as outage:
        _logger.warning("a lease could not be given back; it ends by itself: %s", outage)


def _read(store: ObjectStore, name: str, n: int) -> bytes | None:
    try:
        return bytes(obstore.get(store, f"{name}.{n}.json").bytes())
    except (FileNotFoundError, NotFoundError):
        return None


def _written() -> bytes:
    until = datetime.now(UTC) + _LASTING
    held = {"host": socket.gethostname(), "process": os.getpid(), "until": until.isoformat(timespec="seconds")}
    return json.dumps(held).encode()
