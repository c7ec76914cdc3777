"""What `enqueue` finds in a worker process that cannot reach the app's broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from streamjobs.broker.ports import Broker, Delivery, Message
from streamjobs.publisher import Publisher, Topics
from streamjobs.settings import Settings

__all__ = ("NoPublisher",)


class NoPublisher(Publisher):
    """What an attempt enqueues goes home with its report, and is written there. Everything else
    asks the broker, which refuses.

    Args:
        broker: refuses whatever is asked.
    """

    def __init__(self, broker: Broker) -> None:
        self.topics = _TopicsAtHome(broker, Settings())
        self._broker = broker

    def send(self, message: Message, done: Callable[[Delivery], None]) -> NoReturn:
        self._broker.producer({})
        raise AssertionError("a broker that cannot be reached has made a producer")

    def flush(self, timeout: float = 0.0) -> int:
        return 0

    def close(self) -> None:
        """Nothing is on its way."""


class _TopicsAtHome(Topics):
    """Whether a topic is there is seen where it is written to."""

    def have(self, topic: str) -> None:
        """Not asked here."""
