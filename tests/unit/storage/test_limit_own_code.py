"""A model's own code is refused whatever it raises and however long it runs; what others raise meanwhile passes."""

import asyncio
import contextlib
import signal
import threading
import time
from datetime import timedelta

import pytest

from evergreen.errors import CodeUnsafe, FeaturesInvalid
from evergreen.storage.limit_own_code import own_code

LONG = timedelta(hours=1)
SHORT = timedelta(milliseconds=50)


class _Own(BaseException):
    def __str__(self):
        raise RuntimeError("no text")


class _FromOutside(BaseException):
    """As Airflow's for a task whose time is over."""


@pytest.fixture(autouse=True)
def interruptible():
    """A shell has its background jobs ignore Ctrl-C; here it interrupts, as at a terminal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "raised",
    [
        ValueError("x"),
        SystemExit(3),
        MemoryError("x"),
        GeneratorExit("x"),
        KeyboardInterrupt("x"),
        StopIteration("x"),
        asyncio.CancelledError("x"),
        _Own(),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_whatever_it_raises_is_refused(raised):
    with pytest.raises(FeaturesInvalid, match=rf"^here: raised {type(raised).__name__}: "), own_code("here", LONG):
        raise raised


def _sleep():
    time.sleep(60)


def _count():
    while True:
        pass


def _swallow():
    for _ in range(2):
        with contextlib.suppress(BaseException):
            time.sleep(60)
    time.sleep(60)


@pytest.mark.parametrize("code", [_sleep, _count, _swallow])
def test_what_runs_for_ever_is_ended(code, monkeypatch):
    monkeypatch.setattr("evergreen.storage.limit_own_code._AGAIN", 0.05)
    said = r"here: ran for longer than 0.05 seconds.*raise model.time_limit"
    with pytest.raises(CodeUnsafe, match=said), own_code("here", SHORT):
        code()


def test_handlers_and_timer_are_given_back():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with own_code("here", LONG):
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 0.3
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        while not rung:
            time.sleep(0.01)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_the_time_limit_of_a_task_is_not_the_codes():
    def ring(*_):
        raise _FromOutside

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(_FromOutside), own_code("here", LONG):
            time.sleep(60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_person_who_interrupts_is_not_the_code():
    with pytest.raises(KeyboardInterrupt), own_code("here", LONG):
        signal.raise_signal(signal.SIGINT)


def test_in_another_thread_there_is_no_time_limit_and_what_is_raised_is_refused():
    seen = []

    def run():
        try:
            with own_code("here", SHORT):
                time.sleep(0.1)
                raise SystemExit
        except FeaturesInvalid as error:
            seen.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == ["here: raised SystemExit: "]


def test_a_limit_of_for_ever_is_one_that_no_timer_refuses():
    with own_code("here", timedelta.max):
        pass
