"""What becomes of a record whose attempt failed."""

from __future__ import annotations

from dataclasses import dataclass

from streamjobs.errors import UndecodableRecordError

__all__ = ("DISCARD", "Backoff", "Discard", "Park", "Verdict")


@dataclass(frozen=True, slots=True)
class Park:
    """Hold the key of the record and attempt it again after that many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Discard:
    """Give the record up: it is logged, counted and complete."""


Verdict = Park | Discard
DISCARD = Discard()


@dataclass(frozen=True, slots=True)
class Backoff:
    """A failing record is attempted again after a growing pause, for as long as it takes;
    one that cannot be decoded is discarded at once, since no attempt would help.

    Args:
        first: seconds before the second attempt.
        factor: each further pause is that much longer.
        maximum: no pause is longer, in seconds.
    """

    first: float = 0.5
    factor: float = 2.0
    maximum: float = 60.0

    def decide(self, error: Exception, attempt: int) -> Verdict:
        """The verdict on attempt number `attempt` (from 1), which ended with `error`."""
        if isinstance(error, UndecodableRecordError):
            return DISCARD
        exponent = min(attempt - 1, 64)
        return Park(min(self.maximum, self.first * self.factor**exponent))
