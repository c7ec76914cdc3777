"""Records that are remembered by their offsets alone, and read again when their turn comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from streamjobs.engine.orders import Order

__all__ = ("Deferred",)


class Deferred:
    """The offsets of orders that have more waiting than may be held in memory.

    What is behind a deferred offset of the same order is deferred, too, so that the order is kept.
    As no offset lies further from the frontier than the completion map reaches, there is an upper
    bound to all of them.

    Attributes:
        hungry: orders that could run and have (nearly) nothing left in memory.
    """

    __slots__ = ("_offsets", "hungry")

    def __init__(self) -> None:
        self.hungry: dict[Order, None] = {}
        self._offsets: dict[Order, deque[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._offsets)

    def __contains__(self, order: Order) -> bool:
        return order in self._offsets

    def __len__(self) -> int:
        return sum(map(len, self._offsets.values()))

    def add(self, order: Order, offset: int) -> None:
        """One more, behind all others of its order."""
        line = self._offsets.get(order)
        if line is None:
            line = self._offsets[order] = deque()
        line.append(offset)

    def put_before(self, order: Order, offsets: Iterable[int]) -> None:
        """These were in memory, before all that is deferred of their order."""
        self._offsets[order] = deque(offsets) + self._offsets.get(order, deque())

    def next_of(self, order: Order, count: int) -> Sequence[int]:
        """The offsets to read again first."""
        return list(islice(self._offsets[order], count))

    def take(self, order: Order, offset: int) -> bool:
        """This one is in memory again (or will never be), if it is the first of its order: others
        may have been put before it while it was read.
        """
        line = self._offsets.get(order)
        if line is None or line[0] != offset:
            return False
        line.popleft()
        if not line:
            del self._offsets[order]
        return True
