"""Kafka's messages as records, decoded as late as possible."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from streamjobs.broker.ports import Batch, TopicPartition
from streamjobs.broker.quix.client import Message
from streamjobs.record import Header, Record

__all__ = ("KafkaRecord", "batches")


class KafkaRecord(Record):
    """A record that keeps the client's message, and asks it for all but offset, key and size.

    The engine looks at those of every record, at the rest only where a handler does. Made by
    `batches` alone.
    """

    __slots__ = ("_message",)

    _message: Message

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


def batches(messages: Sequence[Message]) -> list[Batch]:
    """The messages by runs of one partition. None of them may be an error."""
    if not messages:
        return []
    topics = list(map(Message.topic, messages))
    partitions = list(map(Message.partition, messages))
    records = _records(messages)
    first = TopicPartition(topics[0], partitions[0])
    if topics.count(first.topic) == partitions.count(first.partition) == len(records):
        return [Batch(first, records)]  # as nearly always: a fetch brings thousands of a partition
    found: list[Batch] = []
    start = 0
    for place, run in groupby(zip(topics, partitions, strict=True)):
        end = start + len(list(run))
        found.append(Batch(TopicPartition(*place), records[start:end]))
        start = end
    return found


def _records(messages: Sequence[Message]) -> list[Record]:
    """A million a second come by here: an `__init__` would add a third to the cost."""
    records: list[Record] = []
    add, new = records.append, object.__new__
    offsets, keys = map(Message.offset, messages), map(Message.key, messages)
    for message, offset, key, size in zip(messages, offsets, keys, map(len, messages), strict=True):
        record = new(KafkaRecord)
        record._message = message
        record.offset = offset
        record.key = key
        record.size = size + len(key) if key else size
        add(record)
    return records
