"""Which offsets one generation may count as complete."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ("Progress",)


class Progress:
    """What was committed before a generation began, and what it settled itself."""

    __slots__ = ("_above", "frontier", "settled")

    def __init__(self, frontier: int, completed: Iterable[tuple[int, int]]) -> None:
        self.frontier = frontier
        self._above = {
            offset for start, length in completed for offset in range(start, start + length)
        }
        self.settled: set[int] = set()

    def settle(self, offset: int) -> None:
        """This generation settled a record."""
        self.settled.add(offset)

    def began_with(self, offset: int) -> bool:
        """Whether the record was complete when the generation began."""
        return offset < self.frontier or offset in self._above

    def __contains__(self, offset: int) -> bool:
        return offset in self.settled or self.began_with(offset)
