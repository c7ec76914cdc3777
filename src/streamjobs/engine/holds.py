"""Keys whose records follow an earlier one to the dead-letter topic."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from streamjobs.engine.orders import Order
from streamjobs.record import Record

__all__ = ("Holds",)


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
