"""A cache that is bounded by bytes: what is read is never changed, so it may be kept."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class ByteCache(Generic[V]):
    """Keeps what was used last, up to a number of bytes.

    :param limit: bytes.
    :param measure: bytes of one value.
    """

    def __init__(self, limit: int, measure: Callable[[V], int]) -> None:
        self._limit, self._measure, self._held = limit, measure, 0
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        """The value under a key, or None."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value; older ones make room for it."""
        if key in self._values:
            self._held -= self._measure(self._values[key])
        self._values[key] = value
        self._held += self._measure(value)
        while self._held > self._limit:
            self._held -= self._measure(self._values.popitem(last=False)[1])
