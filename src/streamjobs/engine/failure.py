"""What becomes of a record whose attempt failed."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

from streamjobs.broker.ports import Message
from streamjobs.engine.slices import Slice
from streamjobs.errors import LostCauseError
from streamjobs.record import Record

__all__ = (
    "BLOCK",
    "DISCARD",
    "STOP",
    "Backoff",
    "Block",
    "Bury",
    "DiscardRecord",
    "Failure",
    "Failures",
    "Park",
    "Stop",
    "Verdict",
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt, or a record that cannot even be attempted.

    Attributes:
        record: the record.
        error: why.
        attempt: the number of the attempt, from 1; 0 if there was none.
        first: seconds since the epoch of its first failure; `now` at the first one.
        now: seconds since the epoch.
        piece, index: the attempt itself.
    """

    record: Record
    error: Exception
    attempt: int
    first: float
    now: float
    piece: Slice
    index: int


@dataclass(frozen=True, slots=True)
class Park:
    """Hold the key of the record and attempt it again after that many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class DiscardRecord:
    """Give the record up: it is logged, counted and complete."""


@dataclass(frozen=True, slots=True)
class Bury:
    """Write the record's dead letter; the record is over when that is acknowledged. Until then
    its key waits.
    """

    letter: Message


@dataclass(frozen=True, slots=True)
class Block:
    """Hold the key for as long as this process has the partition."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the app; the record will be delivered again."""


Verdict = Park | DiscardRecord | Bury | Block | Stop
DISCARD, BLOCK, STOP = DiscardRecord(), Block(), Stop()


class Failures(Protocol):
    """Judges failures."""

    @abstractmethod
    def decide(self, failure: Failure) -> Verdict:
        """What to do about it. Called by the owner's thread; must be quick and must not raise."""


@dataclass(frozen=True, slots=True)
class Backoff(Failures):
    """A failing record is attempted again after a growing pause, for as long as it takes;
    one for which no attempt would help is discarded at once.

    Args:
        first: seconds before the second attempt.
        factor: each further pause is that much longer.
        maximum: no pause is longer, in seconds.
    """

    first: float = 0.5
    factor: float = 2.0
    maximum: float = 60.0

    def decide(self, failure: Failure) -> Verdict:
        """The verdict on this failure."""
        if isinstance(failure.error, LostCauseError):
            return DISCARD
        exponent = min(failure.attempt - 1, 64)
        return Park(min(self.maximum, self.first * self.factor**exponent))
