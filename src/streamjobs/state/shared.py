"""Stores that several topics of one pipeline write to."""

from __future__ import annotations

from collections.abc import Iterator

from streamjobs.engine.generation import Generation
from streamjobs.state.cache import WriteBackCache
from streamjobs.state.store import StoreId

__all__ = ("SharedCaches",)


class SharedCaches:
    """One cache for each, whoever of them came first has it restored; it is let go of when the last
    one has left.
    """

    def __init__(self) -> None:
        self._caches: dict[StoreId, WriteBackCache] = {}
        self._holders: dict[StoreId, list[Generation]] = {}

    def __contains__(self, store: StoreId) -> bool:
        """Whether anybody uses it."""
        return store in self._holders

    def find(self, store: StoreId) -> WriteBackCache | None:
        """The cache, once it is restored."""
        return self._caches.get(store)

    def claim(self, store: StoreId, generation: Generation) -> bool:
        """One more wants it; says whether it is the first, and has to restore it."""
        holders = self._holders.setdefault(store, [])
        if generation not in holders:
            holders.append(generation)
        return holders[0] is generation

    def add(self, store: StoreId, cache: WriteBackCache) -> None:
        """It is restored."""
        self._caches[store] = cache

    def leave(self, generation: Generation) -> Iterator[WriteBackCache]:
        """A generation ends: the caches that nobody uses any more, its own ones included."""
        shared = [store for store, holders in self._holders.items() if generation in holders]
        for store in shared:
            holders = self._holders[store]
            holders.remove(generation)
            if holders:
                continue
            del self._holders[store]
            if store in self._caches:
                yield self._caches.pop(store)
        if not generation.route.together:
            yield from generation.stores.values()
