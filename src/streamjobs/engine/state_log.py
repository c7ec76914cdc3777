"""What the owner asks of the keeper of state."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.generation import Generation

__all__ = ("StateLog",)


class StateLog(Protocol):
    """Opens the stores of a partition and brings them to where its progress stands."""

    @abstractmethod
    def load(self, generation: Generation) -> None:
        """The state of this generation is wanted; `turn` brings it. Does not block."""

    @abstractmethod
    def turn(self) -> Sequence[TopicPartition]:
        """Go on, a step; partitions whose state is there now, each once.

        Raises:
            BrokerUnavailableError: the broker has been away for too long.
            StateError: a store cannot be opened or brought up to date; says what to do.
        """

    @abstractmethod
    def forget(self, generation: Generation, *, stays: bool) -> None:
        """This generation ended. Where the partition `stays` here, so do its stores, without what
        was merged and not flushed.
        """

    @abstractmethod
    def leave(self, partition: TopicPartition) -> None:
        """This partition went away, maybe after its last generation here: its stores are closed,
        for others on this machine to open.
        """

    @abstractmethod
    def close(self) -> None:
        """Close every store."""
