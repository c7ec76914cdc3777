"""One Kafka message as the engine and the handlers see it."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ("Header", "Record")

Header = tuple[str, bytes | None]


class Record:
    """One Kafka message.

    Attributes:
        topic, partition, offset: where it stands; together they name it for ever.
        key, value: bytes as they were written, or None.
        headers: pairs of name and bytes, in the order they were written.
        timestamp: milliseconds since the epoch, as the producer or the broker stamped it.
        size: bytes of key and value, what the window counts.
    """

    __slots__ = ("headers", "key", "offset", "partition", "size", "timestamp", "topic", "value")

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        key: bytes | None = None,
        value: bytes | None = None,
        headers: Sequence[Header] = (),
        timestamp: int = 0,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.key = key
        self.value = value
        self.headers = headers
        self.timestamp = timestamp
        self.size = len(key or b"") + len(value or b"")

    @property
    def id(self) -> str:
        """`topic/partition/offset`: the same at every attempt, so a sink can store it beside
        what it wrote and refuse the second time.
        """
        return f"{self.topic}/{self.partition}/{self.offset}"

    def header(self, name: str) -> bytes | None:
        """The value of the last header of that name, as Kafka's own `lastHeader`."""
        for found, value in reversed(self.headers):
            if found == name:
                return value
        return None

    def __repr__(self) -> str:
        return f"<Record {self.id} key={self.key!r}>"
