"""Attempts that run far longer than such attempts usually do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from streamjobs.engine.slices import Slice

__all__ = ("Stalls",)

LOOK_EVERY: Final = 0.5
"""Seconds. Looking from outside costs the workers nothing."""

FAR_LONGER: Final = 20
"""Times the usual time of a record of its topic."""


class Stalls:
    """Looks at what runs, now and then, and notices which records have run for too long.

    Args:
        usual: seconds a record of a topic takes as a rule; 0 if nothing is known.
        at_least: seconds below which nothing counts as too long.
    """

    def __init__(self, usual: Callable[[str], float], at_least: float) -> None:
        self._usual = usual
        self._at_least = at_least
        self._next_look = float("-inf")
        self._since: dict[Slice, tuple[int, float, bool]] = {}

    def look(self, running: Iterable[Slice], now: float) -> Iterator[tuple[Slice, float]]:
        """Slices whose record runs for too long, each once a record, and for how many seconds it
        has been seen to.
        """
        if now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY
        before, self._since = self._since, {}
        for piece in running:
            if piece.worker is None:
                continue  # it waits for one
            index, since, told = before.get(piece, (-1, now, False))
            if index != piece.current:
                since, told = now, False
            too_long = now - since > self._too_long(piece)
            self._since[piece] = piece.current, since, told or too_long
            if too_long and not told:
                yield piece, now - since

    def _too_long(self, piece: Slice) -> float:
        return max(self._at_least, FAR_LONGER * self._usual(piece.generation.partition.topic))
