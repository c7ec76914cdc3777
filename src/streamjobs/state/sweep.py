"""Deletes values whose `ttl` is over, from the store and from its changelog."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from streamjobs.engine.generation import Generation
from streamjobs.state.entries import has_expired, has_expiry, split_key
from streamjobs.state.errors import StateValueError

__all__ = ("Sweep",)

PIECE: Final = 500
"""Entries that are looked at in one go: about a millisecond."""

EVERY: Final = 0.5
"""Seconds between two pieces, of all stores together."""

AGAIN: Final = 60.0
"""Seconds from the end of a store to its beginning, where it has values that expire."""

AGAIN_WITHOUT: Final = 3600.0
"""The same where it has none."""


class Sweep:
    """Goes through the stores that are loaded, a piece at a time, in the owner's thread.

    A deletion is merged like what a handler has changed, so the next commit takes it to the
    changelog and to the store. No attempt can notice: for each of them the value was gone already,
    and what a running one sets is merged after it, over it.

    Args:
        clock: monotonic seconds.
        wall: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._clock = clock
        self._wall = wall
        self._next = clock() + EVERY
        self._rounds: dict[tuple[Generation, str], _Round] = {}

    def add(self, generation: Generation) -> None:
        """Its stores are loaded."""
        for store in generation.stores:
            if store not in generation.route.homes:  # operators' values have no such time
                self._rounds[generation, store] = _Round(self._clock() + AGAIN)

    def forget(self, generation: Generation) -> None:
        """It ended."""
        for store in generation.stores:
            self._rounds.pop((generation, store), None)

    def turn(self) -> None:
        """Look at one more piece, if it is time."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + EVERY
        for (generation, store), each in self._rounds.items():
            if now >= each.not_before:
                self._look(generation, store, each)
                self._rounds[generation, store] = self._rounds.pop((generation, store))
                return

    def _look(self, generation: Generation, store: str, at: _Round) -> None:
        cache = generation.stores[store]
        entries = cache.store.items(at.after, PIECE)
        wall = self._wall()
        gone: dict[bytes, bytes | None] = {}
        for key, value in entries:
            if has_expiry(value) and _is_ours(key):
                at.has_expiring = True
                # What is merged and not flushed yet counts, not what the store still has.
                current = cache.get(key)
                if current is not None and has_expired(current, wall):
                    gone[key] = None
        if gone:
            cache.merge(gone)
            generation.dirty = True
        if len(entries) == PIECE:
            at.after = entries[-1][0]
        else:
            at.begin_again(self._clock())


class _Round:
    """One way through a store.

    Attributes:
        not_before: when the next piece is due.
        after: the last key that was looked at.
        has_expiring: whether there was a value with a `ttl`.
    """

    def __init__(self, not_before: float) -> None:
        self.not_before = not_before
        self.after: bytes | None = None
        self.has_expiring = False

    def begin_again(self, now: float) -> None:
        """The end is reached."""
        self.not_before = now + (AGAIN if self.has_expiring else AGAIN_WITHOUT)
        self.after = None
        self.has_expiring = False


def _is_ours(key: bytes) -> bool:
    """Whether `ctx.state` has written it: what others keep may look as if it had a time."""
    try:
        split_key(key)
    except StateValueError:
        return False
    return True
