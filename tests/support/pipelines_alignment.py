"""The order in which Quix Streams reads several topics: with its own consumer's buffer. Nothing of
streamjobs is in here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from confluent_kafka import TopicPartition
from quixstreams.internal_consumer.buffering import InternalConsumerBuffer

from tests.support.pipelines_reference import Message, Written

__all__ = ("aligned",)


def aligned(
    records: Sequence[Written], topics: Sequence[str], partition_of: Callable[[Written], int]
) -> list[Written]:
    """Records as they are read where all of them have been written before: of each partition, the
    earliest of what is next in its topics.

    Args:
        records: in the order of their logs.
        topics: all that are read. Of those with records at the same moment the first goes first.
        partition_of: where a record is.
    """
    messages = list(_messages(records, partition_of))
    ends = {(each.topic(), each.partition()): each.offset() + 1 for each in messages}
    numbers = {each.partition() for each in messages}
    places = {
        (topic, number): ends.get((topic, number), 0) for topic in topics for number in numbers
    }
    buffer = InternalConsumerBuffer()
    buffer.assign_partitions([TopicPartition(topic, number) for topic, number in places])
    buffer.feed(messages, places, places)  # type: ignore[arg-type]
    read = []
    while (message := buffer.pop()) is not None:
        read.append(cast(Message, message).record)
        buffer.feed((), places, places)  # whose last record was taken would be waited for
    return read


def _messages(
    records: Sequence[Written], partition_of: Callable[[Written], int]
) -> Iterator[Message]:
    offsets: Counter[tuple[str, int]] = Counter()
    for record in records:
        place = record.topic, partition_of(record)
        yield Message(record, offsets[place], place[1])
        offsets[place] += 1
