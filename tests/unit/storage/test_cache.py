"""The cache keeps what was used last, up to its bytes."""

from evergreen.storage.cache import ByteCache


def test_what_was_put_is_kept():
    cache = ByteCache(10, len)
    cache.put("a", "1234")
    assert cache.get("a") == "1234"
    assert cache.get("b") is None


def test_the_oldest_makes_room():
    cache = ByteCache(10, len)
    for key in "abc":
        cache.put(key, "1234")
    assert [cache.get(key) for key in "abc"] == [None, "1234", "1234"]


def test_what_was_used_last_stays():
    cache = ByteCache(10, len)
    cache.put("a", "1234")
    cache.put("b", "1234")
    cache.get("a")
    cache.put("c", "1234")
    assert [cache.get(key) for key in "abc"] == ["1234", None, "1234"]


def test_a_value_beyond_the_limit_is_not_kept_and_leaves_room_for_others():
    cache = ByteCache(10, len)
    cache.put("a", "12345678901")
    assert cache.get("a") is None
    cache.put("b", "1234567890")
    assert cache.get("b") == "1234567890"


def test_a_key_put_twice_takes_its_bytes_once():
    cache = ByteCache(10, len)
    cache.put("a", "1234")
    cache.put("a", "4321")
    cache.put("b", "1234")
    assert [cache.get(key) for key in "ab"] == ["4321", "1234"]
