"""Sweeping: values whose time is over go away, also when nobody asks for them."""

from streamjobs.state.cache import WriteBackCache
from streamjobs.state.memory import MemoryStores
from streamjobs.state.sweep import Swept, sweep
from streamjobs.state.view import State


def cache_with(**ttls: float | None) -> WriteBackCache:
    """A value of each name, set at second 1000 and in the store."""
    cache = WriteBackCache(MemoryStores("app").open("clicks", 0, "default"))
    writes: dict[bytes, bytes | None] = {}
    for name, ttl in ttls.items():
        State(b"ada", cache.get, writes, lambda: 1000).set(name, 1, ttl)
    cache.merge(writes)
    cache.flush(cache.take(), 1)
    return cache


def test_what_is_over_is_deleted_with_the_next_checkpoint() -> None:
    cache = cache_with(short=5, long=50, ever=None)
    assert sweep(cache, None, now=1010) == Swept(1, None)
    assert cache.take().changes == {b'ada|"short"': None}


def test_it_goes_on_where_it_was() -> None:
    cache = cache_with(a=5, b=5, c=5)
    first = sweep(cache, None, now=1010, limit=2)
    assert first == Swept(2, b'ada|"b"')
    assert sweep(cache, first.position, now=1010, limit=2) == Swept(1, None)
    assert len(cache.take().changes) == 3


def test_what_was_set_again_since_then_stays() -> None:
    cache = cache_with(a=5)
    writes: dict[bytes, bytes | None] = {}
    State(b"ada", cache.get, writes, lambda: 1009).set("a", 2, 5)
    cache.merge(writes)
    assert sweep(cache, None, now=1010) == Swept(0, None)
    assert cache.take().changes == writes


def test_what_was_deleted_since_then_is_not_deleted_again() -> None:
    cache = cache_with(a=5)
    cache.merge({b'ada|"a"': None})
    assert sweep(cache, None, now=1010) == Swept(0, None)


def test_values_of_other_programs_are_left_alone() -> None:
    cache = cache_with()
    cache.merge({b"x": b"", b"y": b"\xfa", b"z": b"\x00\x01"})
    cache.flush(cache.take(), 2)
    assert sweep(cache, None, now=10**9) == Swept(0, None)
