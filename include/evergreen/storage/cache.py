"""A cache that is bounded by bytes: what is read is never changed, so it may be kept."""

from collections.abc import Hashable
from contextlib import suppress
from typing import TypeVar

from cachetools import LRUCache

V = TypeVar("V")


class ByteCache(LRUCache[Hashable, V]):
    """Keeps what was used last: ``ByteCache(bytes, bytes_of_a_value)``."""

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value; older ones make room for it. One beyond the limit is not kept, where the base class raises."""
        with suppress(ValueError):
            self[key] = value
