"""How many records make one slice."""

from __future__ import annotations

from typing import Final

__all__ = ("Pace",)

SLICE_SECONDS: Final = 0.002
"""What a slice should take: long enough that handing it over costs little, short enough that
a hot virtual partition does not keep a worker from the others."""

LIMIT: Final = 256
_WEIGHT: Final = 0.2


class Pace:
    """Learns from finished slices how long a record of a topic takes.

    Starts with single records, since nothing is known and a slow one would make the others of
    its slice wait; then at most doubles.
    """

    __slots__ = ("_mean", "limit")

    def __init__(self) -> None:
        self._mean = 0.0
        self.limit = 1

    def observe(self, records: int, seconds: float) -> None:
        """A slice of so many records took so long."""
        if not records:
            return
        each = seconds / records
        self._mean = each if not self._mean else self._mean + _WEIGHT * (each - self._mean)
        fitting = int(SLICE_SECONDS / self._mean) if self._mean > 0 else LIMIT
        self.limit = max(1, min(fitting, self.limit * 2, LIMIT))
