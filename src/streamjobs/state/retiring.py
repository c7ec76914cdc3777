"""Deletes the stores of this machine that nobody has used for long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from streamjobs.state.errors import StateError
from streamjobs.state.store import StoreId, Stores

__all__ = ("Retiring",)

FIRST_AFTER: Final = 60.0
"""Seconds until the first look: by then the group has given out its partitions, and the stores of
those that come here are open."""

AGAIN_AFTER: Final = 3600.0

log = structlog.get_logger("streamjobs")


class Retiring:
    """One store a turn. Those that are open, here or in another process, are left alone.

    Args:
        stores: where they are.
        keep: seconds that a store is kept after it was used; 0 for ever.
        clock: monotonic seconds.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        stores: Stores,
        keep: float,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._stores = stores
        self._keep = keep
        self._clock = clock
        self._wall = wall
        self._next = clock() + FIRST_AFTER if keep else float("inf")
        self._left: list[StoreId] = []

    def turn(self) -> None:
        """Look whether it is time, and take one more store if it is."""
        now = self._clock()
        if now >= self._next:
            self._next = now + AGAIN_AFTER
            self._left = list(self._stores.found())
        if self._left:
            self._retire(self._left.pop())

    def _retire(self, store: StoreId) -> None:
        unused = self._wall() - self._stores.used(store)
        if unused < self._keep:
            return
        try:
            self._stores.destroy(store)
        except StateError:
            return  # somebody has it open
        log.info(
            "a store that was not used for long is deleted; its changelog has all of it",
            store=str(store),
            unused_hours=round(unused / 3600, 1),
        )
