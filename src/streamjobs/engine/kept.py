"""What the owner asks of whoever keeps something for its partitions outside of the process."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Protocol

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.cursors import Saved
from streamjobs.engine.generation import Generation

__all__ = ("Kept", "KeptCursors", "KeptState")


class Kept(Protocol):
    """Read when a partition is assigned: before that is done, nothing of it starts."""

    @abstractmethod
    def load(self, generation: Generation) -> None:
        """What is kept for this generation is wanted; `turn` brings it. Does not block."""

    @abstractmethod
    def turn(self) -> Sequence[Generation]:
        """Go on, a step; generations that have all that was kept now, each once. May ask the
        broker, for some milliseconds as a rule.

        Raises:
            BrokerUnavailableError: the broker has been away for too long.
            StateError: a store cannot be opened or brought up to date; says what to do.
        """

    @abstractmethod
    def forget(self, generation: Generation) -> None:
        """This generation ended."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""


class KeptCursors(Kept, Protocol):
    """How far long jobs have got."""

    @abstractmethod
    def write(self, saved: Iterable[Saved]) -> None:
        """Keep these. Does not wait; must not raise: what is not kept is done again after a crash,
        and logged.
        """

    @abstractmethod
    def flush(self, timeout: float) -> None:
        """Wait up to so many seconds until what was written is kept."""


class KeptState(Kept, Protocol):
    """The stores of partitions. Those of a partition stay open from one generation to the next."""

    @abstractmethod
    def leave(self, partition: TopicPartition) -> None:
        """The partition goes to another process, which needs its stores."""
