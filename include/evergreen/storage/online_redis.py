"""The online store in Redis, for whoever serves on other machines than those that compute."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from evergreen.errors import ConfigInvalid, Outage, needs_extra
from evergreen.outside_calls import Answer, answer_within
from evergreen.storage.online import OnlineValue

with needs_extra("online", "EVERGREEN_ONLINE=redis://…"):
    import redis

# Values of one call, so that other callers of the server need not wait for long.
_AT_ONCE = 1_000
# For a part of an answer, and for all of it.
_SECONDS, _WHOLE = 5.0, 30.0
# In one step on the server: of two writers the newer value stays, whoever comes last. A value begins with its stamp.
_WRITE = """
for i = 1, #ARGV, 2 do
    local held = redis.call('HGET', KEYS[1], ARGV[i])
    if not held or held < ARGV[i + 1] then
        redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    end
end
"""
_NOTE = """
local held = redis.call('GET', KEYS[1])
if not held or held < ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[1])
end
"""


class RedisStore:
    """An online store in Redis: a hash a view, with a field a key; and which batch was written last.

    Values that have grown too old are not deleted; who reads passes over them.

    :param url: ``redis://…`` or ``rediss://…``.
    """

    def __init__(self, url: str) -> None:
        self._place = urlsplit(url).hostname or "localhost"
        try:
            self._redis: Any = redis.Redis.from_url(
                url, decode_responses=True, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS
            )
        except ValueError:
            # Not told as found: it may hold a password.
            problem = "found no URL of a Redis server; valid: redis://HOST:PORT/NUMBER (rediss:// with TLS)"
            raise ConfigInvalid("EVERGREEN_ONLINE", [problem]) from None

    def written(self, view: str) -> str | None:
        """See ``OnlineStore``."""
        batch = self._ask(lambda: self._redis.get(_name(view, "written")))
        return str(batch) if batch is not None else None

    def write(self, view: str, batch: str, values: Collection[OnlineValue], oldest: str) -> None:
        """See ``OnlineStore``."""
        arguments = [text for one in values for text in (one.key, f"{one.stamp}\n{one.content}")]
        for first in range(0, len(arguments), 2 * _AT_ONCE):
            some = arguments[first : first + 2 * _AT_ONCE]
            self._ask(partial(self._redis.eval, _WRITE, 1, _name(view, "latest"), *some))
        self._ask(lambda: self._redis.eval(_NOTE, 1, _name(view, "written"), batch))

    def read(self, view: str, keys: Collection[str]) -> list[OnlineValue]:
        """See ``OnlineStore``."""
        asked = list(keys)
        found = self._ask(lambda: self._redis.hmget(_name(view, "latest"), asked)) if asked else []
        return [OnlineValue(key, *one.split("\n", 1)) for key, one in zip(asked, found, strict=True) if one is not None]

    def delete(self, view: str, keys: Collection[str]) -> None:
        """See ``OnlineStore``."""
        if keys:
            self._ask(lambda: self._redis.hdel(_name(view, "latest"), *keys))

    def _ask(self, call: Callable[[], Answer]) -> Answer:
        try:
            return answer_within(_WHOLE, call, f"Redis at {self._place}")
        except redis.RedisError as error:
            raise Outage(f"online store, Redis at {self._place}: {error}", f"Redis at {self._place}") from error


def _name(view: str, what: str) -> str:
    return f"evergreen:{what}:{view}"
