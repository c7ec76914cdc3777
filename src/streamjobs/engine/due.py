"""When the next commit is due."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streamjobs.engine.generation import Generation
from streamjobs.engine.limits import Limits

__all__ = ("Due",)

AGAIN: Final = 0.05
"""Seconds until a commit that was refused is tried again, doubled each time up to the interval:
a rebalance refuses one, and what is done since the one before would all run again after a crash."""


class Due:
    """After some time, after many records, or after many bytes of changes: whichever comes first.

    Args:
        limits: how much of each.
        now: monotonic seconds.

    Attributes:
        at: when the time is over.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self._interval = limits.commit_interval
        self._bytes = limits.commit_bytes
        self._records = limits.commit_records
        self._done = 0
        self._again = AGAIN
        self.at = now + limits.commit_interval

    def begin(self, now: float) -> None:
        """What is done from now on is for the next commit."""
        self.at = now + self._interval
        self._done = 0

    def soon(self, now: float) -> None:
        """Somebody waits for it."""
        self.at = min(self.at, now)

    def count(self, records: int) -> None:
        """So many records are done."""
        self._done += records

    def is_due(self, generations: Iterable[Generation], now: float) -> bool:
        """Whether it does not wait any longer."""
        return now >= self.at or self._done >= self._records or self.is_much(generations)

    def is_much(self, generations: Iterable[Generation]) -> bool:
        """Whether changes of state take more memory than they should."""
        return any(
            cache.uncut_bytes > self._bytes
            for generation in generations
            for cache in generation.stores.values()
        )

    def refused(self, now: float) -> None:
        """One did not go through: soon there is another one, and then less and less often."""
        self.at = min(self.at, now + self._again)
        self._again *= 2

    def succeeded(self) -> None:
        """One went through."""
        self._again = AGAIN
