"""A completion map that is full after a few records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streamjobs.engine import completion_map

__all__ = ("map_of",)


@contextmanager
def map_of(characters: int | None) -> Iterator[None]:
    """Inside, a completion map may have so many characters; None for as many as always.

    The limits are constants of the engine's, for real brokers all have the same one; so this is
    for one thread only.
    """
    if characters is None:
        yield
        return
    small = {
        "MAP_CHARACTERS": characters,
        "BITSET_SPAN": completion_map.BITSET_SPAN * characters // completion_map.MAP_CHARACTERS,
    }
    usual = {name: getattr(completion_map, name) for name in small}
    vars(completion_map).update(small)
    try:
        yield
    finally:
        vars(completion_map).update(usual)
