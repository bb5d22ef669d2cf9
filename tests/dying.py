"""Writes that end their caller once they are done, as a kill between two of them would."""

from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """The process was killed."""


def dying(write: Callable[..., Any], written: list[str], after: int | None) -> Callable[..., Any]:
    """A write that notes each of its calls, and kills after so many writes of all that note theirs in the same list.

    :param after: None for one that never does.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        result = write(*args, **kwargs)
        written.append(write.__name__)
        if len(written) == after:
            raise Killed
        return result

    return call
