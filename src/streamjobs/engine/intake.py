"""Back-pressure: how many records to take, and which partition has to stop alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streamjobs.engine.generation import Generation

__all__ = ("Intake",)

BATCH: Final = 1000
"""Records taken at once."""

PATIENCE: Final = 0.5
"""Seconds a partition may be full before it is paused alone. Pausing is the last resort: it
throws away what is fetched and costs 0.5 to 5 seconds until the next record."""

SERVE: Final = 0.1
"""Seconds between polls that take nothing, which keep the membership alive."""

PEEK: Final = 5
"""Every so many of those takes one record all the same: only then callbacks are served."""


class Intake:
    """A full window means taking no more from anybody, for the moment; a partition that stays
    full while others have room is paused until half of its window is free.
    """

    def __init__(self, window_records: int, window_bytes: int) -> None:
        self._records = window_records
        self._bytes = window_bytes
        self._full_since: dict[Generation, float] = {}
        self._paused: dict[Generation, None] = {}
        self._served = float("-inf")
        self._serves = 0

    def limit(self, generations: Iterable[Generation], now: float) -> int:
        """How many records to take now, from all partitions together."""
        room = min(BATCH, self._records)
        for generation in generations:
            if generation in self._paused:
                continue
            if self._is_full(generation):
                self._full_since.setdefault(generation, now)
                room = 0
            else:
                self._full_since.pop(generation, None)
                room = min(room, self._records - _held(generation))
        if room:
            self._served = now
        return room

    def must_serve(self, now: float) -> bool:
        """Whether it is time to poll although nothing is to be taken."""
        if now - self._served < SERVE:
            return False
        self._served = now
        return True

    def peek(self) -> int:
        """How many records to take when nothing should be taken: one, now and then."""
        self._serves += 1
        return 0 if self._serves % PEEK else 1

    def to_pause(self, generations: Iterable[Generation], now: float) -> list[Generation]:
        """Partitions that have been full for too long while another one could go on."""
        held_up = [each for each, since in self._full_since.items() if now - since > PATIENCE]
        if not held_up or all(each in self._full_since for each in generations):
            return []
        for generation in held_up:
            del self._full_since[generation]
            self._paused[generation] = None
        return held_up

    def to_resume(self) -> list[Generation]:
        """Paused partitions with room again."""
        roomy = [each for each in self._paused if self._is_half_empty(each)]
        for generation in roomy:
            del self._paused[generation]
        return roomy

    def forget(self, generation: Generation) -> bool:
        """This generation ended; says whether it was paused, which outlives it at the client."""
        self._full_since.pop(generation, None)
        was_paused = generation in self._paused
        self._paused.pop(generation, None)
        return was_paused

    def _is_full(self, generation: Generation) -> bool:
        return (
            _held(generation) >= self._records
            or generation.held_bytes >= self._bytes
            or bool(generation.backlog)
        )

    def _is_half_empty(self, generation: Generation) -> bool:
        return (
            _held(generation) * 2 <= self._records
            and generation.held_bytes * 2 <= self._bytes
            and not generation.backlog
        )


def _held(generation: Generation) -> int:
    return generation.held + len(generation.unaligned)
