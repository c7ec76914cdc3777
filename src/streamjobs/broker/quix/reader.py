"""Reading outside of any group, over Quix's consumer."""

from __future__ import annotations

import time
import uuid
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streamjobs.broker.ports import Batch, LogRange, Reader, TopicPartition
from streamjobs.broker.quix.client import (
    ConnectionConfig,
    KafkaError,
    KafkaException,
    Message,
    Offset,
)
from streamjobs.broker.quix.errors import UNKNOWN, client_error, error_of, no_partition
from streamjobs.broker.quix.reading_client import ReadingClient
from streamjobs.broker.quix.record import batches
from streamjobs.broker.quix.settings import reader_settings
from streamjobs.broker.quix.watch import BrokerWatch
from streamjobs.errors import StreamjobsError

__all__ = ("QuixReader",)


class QuixReader(Reader):
    """Assigns itself what it reads. The client insists on a group: it gets one that nobody joins
    and that nothing is committed for, so Kafka keeps nothing of it.
    """

    def __init__(
        self, address: str, connection: ConnectionConfig, extra: Mapping[str, Any]
    ) -> None:
        self._address = address
        self._watch = BrokerWatch(address, self._answers)
        self._client = ReadingClient(
            connection,
            group=f"streamjobs-reader-{uuid.uuid4()}",
            reset="earliest",
            settings=reader_settings(extra),
            on_error=self._watch.on_error,
        )
        self._next: dict[TopicPartition, int] = {}  # of what is read: nothing below may come out
        self._ended: set[TopicPartition] = set()

    # -- reading -----------------------------------------------------------------------------

    def seek(self, partition: TopicPartition, offset: int) -> None:
        position = self._next.get(partition)
        if position == offset and partition not in self._ended:
            return  # spare what is fetched already
        try:
            if position is None:
                self._client.incremental_assign([Offset(*partition, offset)])
            else:
                self._client.read_from(partition, offset)
        except KafkaException as error:
            raise self._problem(error) from None
        self._next[partition] = offset
        self._ended.discard(partition)

    def stop(self, partition: TopicPartition) -> None:
        if self._next.pop(partition, None) is not None:
            self._ended.discard(partition)
            self._client.incremental_unassign([Offset(*partition)])

    def poll(self, limit: int, timeout: float) -> Sequence[Batch]:
        self._watch.check()
        try:
            messages = self._client.take(limit, timeout) if limit else []
        except KafkaException as error:
            raise self._problem(error) from None
        ends: list[tuple[TopicPartition, int]] = []
        if any(map(Message.error, messages)):
            ends = self._ends(filter(Message.error, messages))
            messages = [message for message in messages if message.error() is None]
        found = [wanted for batch in batches(messages) if (wanted := self._wanted(batch)).records]
        self._note_ends(ends, {partition for partition, _ in found})
        return found

    def _wanted(self, batch: Batch) -> Batch:
        """Leave out what is before the last seek. The client starts over where a log does not reach
        (any more, or yet) to where it was sent.
        """
        partition, records = batch
        position = self._next.get(partition)
        if position is None:
            return Batch(partition, ())
        if records[0].offset < position:
            records = records[bisect_left(records, position, key=lambda record: record.offset) :]
        if records:
            self._next[partition] = records[-1].offset + 1
        return Batch(partition, records)

    def _ends(self, errors: Iterable[Any]) -> list[tuple[TopicPartition, int]]:
        ends = []
        for message in errors:
            error = message.error()
            if error.code() == KafkaError._PARTITION_EOF:
                place = TopicPartition(message.topic(), message.partition())
                ends.append((place, message.offset()))
            elif error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:  # it needs no group
                self._watch.on_message(error)
        return ends

    def _note_ends(
        self, ends: Sequence[tuple[TopicPartition, int]], moved: set[TopicPartition]
    ) -> None:
        """An end that records of the same poll lie behind is none any more."""
        self._ended -= moved
        for place, end in ends:
            if place in self._next and (place not in moved or self._next[place] <= end):
                self._ended.add(place)

    def at_end(self, partition: TopicPartition) -> bool:
        return partition in self._ended

    def close(self) -> None:
        self._client.close()

    # -- asking ------------------------------------------------------------------------------

    def range(self, partition: TopicPartition, timeout: float) -> LogRange:
        deadline = time.monotonic() + timeout

        def left() -> float:
            return max(0.1, deadline - time.monotonic())  # 0 and less would be for ever

        try:
            try:
                return self._range(partition, left())
            except KafkaException as error:
                if error_of(error).code() not in UNKNOWN:
                    raise
            # The client remembers what was missing for minutes after it has been created.
            self._client.list_topics(partition.topic, left())
            return self._range(partition, left())
        except KafkaException as error:
            if error_of(error).code() in UNKNOWN:
                raise no_partition(partition) from None
            raise self._problem(error) from None

    def _range(self, partition: TopicPartition, timeout: float) -> LogRange:
        return LogRange(*self._client.get_watermark_offsets(Offset(*partition), timeout))

    def _answers(self) -> bool:
        read = next(iter(self._next), None)
        return self._client.answers(read.topic if read else None)

    def _problem(self, error: KafkaException) -> StreamjobsError:
        return client_error(self._address, "consumer_config", error, self._watch.reason)
