"""How many records make one slice."""

from __future__ import annotations

from typing import Final

__all__ = ("Pace",)

SLICE_SECONDS: Final = 0.002
"""What a slice should take: long enough that handing it over costs little, short enough that
a hot virtual partition does not keep a worker from the others."""

ROOMY_SECONDS: Final = 0.02
"""The same while there are more workers than virtual partitions that want one: nobody waits for
a worker then, and the next record of a slice starts without asking the owner."""

LIMIT: Final = 256
_WEIGHT: Final = 0.2


class Pace:
    """Learns from finished slices how long a record of a topic takes.

    Starts with single records, since nothing is known and a slow one would make the others of
    its slice wait; then at most doubles.
    """

    __slots__ = ("limit", "mean", "roomy_limit")

    def __init__(self) -> None:
        self.mean = 0.0
        """Seconds a record takes, the latest ones counting most; 0 while nothing is known."""
        self.limit = 1
        self.roomy_limit = 1

    def observe(self, records: int, seconds: float) -> None:
        """A slice of so many records took so long."""
        if not records:
            return
        each = seconds / records
        self.mean = each if not self.mean else self.mean + _WEIGHT * (each - self.mean)
        self.limit = self._fitting(SLICE_SECONDS, self.limit)
        self.roomy_limit = self._fitting(ROOMY_SECONDS, self.roomy_limit)

    def _fitting(self, seconds: float, before: int) -> int:
        fitting = int(seconds / self.mean) if self.mean > 0 else LIMIT
        return max(1, min(fitting, before * 2, LIMIT))
