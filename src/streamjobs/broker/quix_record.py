"""Kafka's messages as records, decoded as late as possible."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from streamjobs.broker.ports import Batch, TopicPartition
from streamjobs.broker.quix_client import Message
from streamjobs.record import Header, Record

__all__ = ("KafkaRecord", "batches")


class KafkaRecord(Record):
    """A record that keeps the client's message, and asks it for all but the offset and the key.

    This is made a million times a second: the engine looks at the offset and the key of every
    record, and at the rest only where a handler does.
    """

    __slots__ = ("_message",)

    def __init__(self, message: Message) -> None:
        self._message = message
        self.offset = message.offset()
        self.key = message.key()

    @property
    def topic(self) -> str:  # type: ignore[override]
        """The topic's name."""
        return self._message.topic()  # type: ignore[no-any-return]

    @property
    def partition(self) -> int:  # type: ignore[override]
        """The partition's number."""
        return self._message.partition()  # type: ignore[no-any-return]

    @property
    def value(self) -> bytes | None:  # type: ignore[override]
        """The value's bytes, or None."""
        return self._message.value()  # type: ignore[no-any-return]

    @property
    def headers(self) -> Sequence[Header]:  # type: ignore[override]
        """Pairs of name and bytes; the client says None where there are none."""
        return self._message.headers() or ()

    @property
    def timestamp(self) -> int:  # type: ignore[override]
        """Milliseconds since the epoch."""
        return self._message.timestamp()[1]  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key or b"") + len(self._message)


def batches(messages: Sequence[Message]) -> list[Batch]:
    """The messages by runs of one partition. None of them may be an error."""
    # The loops are `map`, `zip` and `groupby`: in bytecode this costs twice as much.
    places = zip(map(Message.topic, messages), map(Message.partition, messages), strict=True)
    records = list(map(KafkaRecord, messages))
    found: list[Batch] = []
    start = 0
    for place, run in groupby(places):
        end = start + len(list(run))
        found.append(Batch(TopicPartition(*place), records[start:end]))
        start = end
    return found
