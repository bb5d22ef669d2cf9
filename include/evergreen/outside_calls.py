"""Calls that end: what hears a byte now and then, and no answer, outlasts every timeout of a socket."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from datetime import timedelta
from typing import TypeVar

from evergreen.batches import tell_duration
from evergreen.errors import Outage

Answer = TypeVar("Answer")


def answer_within(seconds: float | None, ask: Callable[[], Answer], what: str, place: str = "") -> Answer:
    """What a call returns or raises, if it ends in time.

    It runs in a thread of its own, for a library that waits for the next byte looks at no clock. A thread that is given
    up ends with its call, or with the process.

    :param seconds: for the whole call; None where the task's own time ends it, which a driver written in C would not
        hear of.
    :param what: what is asked, for the message.
    :param place: as in ``Outage``; by default the same.
    :raises Outage: if it has not ended in time.
    """
    answer, context = Future[Answer](), copy_context()

    def work() -> None:
        try:
            answer.set_result(context.run(ask))
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True, name=f"asks {what}").start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.done() or seconds is None:
            raise
        told = f"{what} did not answer: it has not said all within {tell_duration(timedelta(seconds=seconds))}"
        raise Outage(told, place or what) from None
