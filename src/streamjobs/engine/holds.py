"""Keys whose records follow an earlier one to the dead-letter topic."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.generation import Generation
from streamjobs.engine.orders import Order
from streamjobs.record import Record

__all__ = ("HoldLog", "Holds")


class Holds(Protocol):
    """What is known of one partition."""

    @abstractmethod
    def holds(self, order: Order, record: Record) -> bool:
        """Whether this record must not be attempted, since an earlier one of its order has a
        letter that is neither replayed nor purged.
        """

    @abstractmethod
    def buried(self, order: Order, record: Record, offset: int) -> None:
        """The letter of this record is acknowledged, at this offset of the dead-letter topic."""


class HoldLog(Protocol):
    """Reads dead-letter topics, for who has to know which keys have letters there."""

    @abstractmethod
    def load(self, generation: Generation) -> None:
        """Begin to read what concerns this generation, and give it its `holds`."""

    @abstractmethod
    def turn(self) -> Sequence[TopicPartition]:
        """Go on reading; partitions of which all is known now, each once.

        Raises:
            BrokerUnavailableError: the broker has been away for too long.
        """

    @abstractmethod
    def forget(self, generation: Generation) -> None:
        """This generation ended."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the reader."""
