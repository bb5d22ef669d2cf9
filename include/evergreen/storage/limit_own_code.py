"""A model's own code: called within a time limit, and refused whatever it raises."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any

from evergreen.batches import tell_duration
from evergreen.errors import CodeUnsafe, FeaturesInvalid

# Code that swallows what ends it is told again, so many seconds later.
_AGAIN = 1.0


class _OutOfTime(BaseException):
    """Raised where the code stands when its time is over; no ``except Exception`` of it takes this for its own."""


class _Clock:
    """The signals' handlers while own code runs.

    What a handler raises (Ctrl-C, the time limit of an Airflow task) is known afterwards, and is not the code's. A
    timer that ran before goes on.

    :param limit: seconds.
    """

    def __init__(self, limit: float) -> None:
        self._end = time.monotonic() + limit
        self._limit = limit
        self.raised: list[BaseException] = []
        self._before: dict[signal.Signals, Any] = {}
        self._timer, self._begun, self._over = 0.0, time.monotonic(), False

    def start(self) -> None:
        """Take over the handlers and the timer."""
        for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler) or number is signal.SIGALRM:
                self._before[number] = handler
                signal.signal(number, self._handle)
        self._timer, _ = signal.getitimer(signal.ITIMER_REAL)
        first = min(self._limit, self._timer) if self._timer else self._limit
        signal.setitimer(signal.ITIMER_REAL, first, _AGAIN)

    def stop(self) -> None:
        """Give them back; what is left of the timer from before goes on."""
        self._over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        if self._timer:
            left = self._timer - (time.monotonic() - self._begun)
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.001))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        handler: Callable[[int, FrameType | None], Any] | Any = self._before[signal.Signals(number)]
        if number == signal.SIGALRM and time.monotonic() >= self._end and not self._over:
            raise _OutOfTime
        if callable(handler):
            try:
                handler(number, frame)
            except BaseException as error:
                self.raised.append(error)
                raise


@contextmanager
def own_code(where: str, limit: timedelta, field: str = "model.time_limit in config.yaml") -> Iterator[None]:
    """Call a model's own code in the block.

    Whatever it raises is refused, be it ``SystemExit``, ``MemoryError`` or ``GeneratorExit``. The time limit holds in a
    main thread, and as soon as the code comes back to Python: a loop in C, and ``os._exit``, nothing meets here.

    :param where: the model, its file and what was called, for the message.
    :param field: what sets the limit, for the message.
    :raises CodeUnsafe: if the time was over.
    :raises FeaturesInvalid: saying what was raised.
    """
    # A limit of for ever is more than a timer takes.
    clock = _Clock(min(limit, timedelta(days=3650)).total_seconds())
    timed = threading.current_thread() is threading.main_thread()
    if timed:
        clock.start()
    try:
        yield
    except _OutOfTime:
        way_out = f"make it faster, or raise {field}"
        raise CodeUnsafe(f"{where}: ran for longer than {tell_duration(limit)}; {way_out}") from None
    except BaseException as error:
        if any(error is raised for raised in clock.raised):
            raise
        raise FeaturesInvalid(f"{where}: raised {type(error).__name__}: {_say(error)}") from error
    finally:
        if timed:
            clock.stop()


def _say(error: BaseException) -> str:
    """What an error says of itself; it is the code's, and may fail at that."""
    try:
        return str(error)
    except BaseException as another:
        return f"(its text raised {type(another).__name__})"
