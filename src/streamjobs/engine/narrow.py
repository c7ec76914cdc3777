"""Changelogs that take less than is known: what a broker refuses of them, and what that tells."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from streamjobs.broker.ports import Delivery, Message

__all__ = ("NarrowChangelogs",)

_OVERHEAD: Final = 512
"""What `check_size` allows for the header and the record's frame."""

log = structlog.get_logger("streamjobs")


class NarrowChangelogs:
    """A broker refuses a whole batch for one record in it, and with it the transaction. So a
    changelog of which it has refused something is written one record at a time from then on. A
    record that is refused alone is too large, and its size is remembered as more than the topic
    takes: when the state is read again from its last commit, the handler that sets such a value
    is told so, and its record fails.

    Args:
        limits: the bytes that a record may have, by topic: what handlers are checked against.
    """

    def __init__(self, limits: dict[str, int] | None = None) -> None:
        self._limits = {} if limits is None else limits
        self._topics: set[str] = set()

    def __contains__(self, topic: object) -> bool:
        """Whether this changelog has to be written one record at a time."""
        return topic in self._topics

    def watch(self, done: Callable[[Delivery], None]) -> Callable[[Delivery], None]:
        """As `done`, for records that are written together."""

        def told(delivery: Delivery) -> None:
            if delivery.refused:
                self._found(delivery)
            done(delivery)

        return told

    def watch_alone(
        self, message: Message, done: Callable[[Delivery], None]
    ) -> Callable[[Delivery], None]:
        """As `done`, for one that is written alone."""
        return partial(self._told_alone, message, done)

    def _told_alone(
        self, message: Message, done: Callable[[Delivery], None], delivery: Delivery
    ) -> None:
        if delivery.refused:
            size = len(message.key or b"") + len(message.value or b"") + _OVERHEAD
            self._limits[message.topic] = min(size - 1, self._limits.get(message.topic, size))
        done(delivery)

    def _found(self, delivery: Delivery) -> None:
        if delivery.topic not in self._topics:
            self._topics.add(delivery.topic)
            log.warning(
                "a changelog takes less than expected, and is written one record at a time from "
                "now on: raise its max.message.bytes and restart",
                topic=delivery.topic,
                error=delivery.error,
            )
