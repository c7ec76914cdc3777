"""Cursors of long jobs in a compacted topic of the app: `<app>.cursors`.

The key of a record is `topic/partition/offset` of the job's record, the value its cursor as JSON; a
tombstone when the job is over. Cursors of one partition share one, whose number is the same (modulo
what there is).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from streamjobs.asking import ASK_WITHIN, Asking
from streamjobs.broker.ports import Delivery, Message, Producer, Reader, TopicPartition
from streamjobs.engine.cursors import Saved
from streamjobs.engine.generation import Generation
from streamjobs.engine.kept import KeptCursors
from streamjobs.errors import StreamjobsError
from streamjobs.publisher import Topics
from streamjobs.record import Record

__all__ = ("CURSORS_SUFFIX", "CursorLog")

CURSORS_SUFFIX: Final = ".cursors"
BATCH: Final = 1000
AGAIN: Final = 1.0
"""Seconds until a question that was not answered is asked again."""

log = structlog.get_logger("streamjobs")


class _Loading:
    """The cursors of one partition, while they are read."""

    def __init__(self, generation: Generation, end: int) -> None:
        self.generation = generation
        self.end = end
        self.found: dict[int, bytes] = {}
        topic, partition = generation.partition
        self._prefix = f"{topic}/{partition}/"

    def take(self, records: Iterable[Record]) -> None:
        for record in records:
            key = (record.key or b"").decode(errors="replace")
            offset = key.removeprefix(self._prefix)
            if key != offset and offset.isdecimal():
                if record.value is None:
                    self.found.pop(int(offset), None)
                else:
                    self.found[int(offset)] = record.value


class CursorLog(KeptCursors):
    """Reads and writes them.

    Args:
        topic: where they are.
        topics: whether it is there, and how many partitions it has.
        producer: makes it when it is first written to.
        open_reader: called when it is first read.
        clock: seconds.
    """

    def __init__(
        self,
        topic: str,
        topics: Topics,
        producer: Producer,
        open_reader: Callable[[], Reader],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic = topic
        self._topics = topics
        self._producer = producer
        self._open_reader = open_reader
        self._asking = Asking("cursors", AGAIN, clock)
        self._reader: Reader | None = None
        self._asked: list[Generation] = []
        self._loading: dict[TopicPartition, list[_Loading]] = {}
        self._loaded: list[Generation] = []

    def load(self, generation: Generation) -> None:
        self._asked.append(generation)

    def turn(self) -> Sequence[Generation]:
        if self._asked and self._asking.is_due:
            self._asking.ask(self._begin_all)
        if self._loading:
            assert self._reader is not None
            batches = dict(self._reader.poll(BATCH, 0))
            for place in list(self._loading):
                self._take(place, batches.get(place, ()))
        loaded, self._loaded = self._loaded, []
        return loaded

    def forget(self, generation: Generation) -> None:
        if generation in self._asked:
            self._asked.remove(generation)

    def _begin_all(self) -> None:
        while self._asked:
            self._begin(self._asked[-1])
            self._asked.pop()

    def _begin(self, generation: Generation) -> None:
        count = self._topics.look_for(self._topic)
        if not count:
            self._loaded.append(generation)
            return
        if self._reader is None:
            self._reader = self._open_reader()
        place = TopicPartition(self._topic, generation.partition.partition % count)
        start, end = self._reader.range(place, ASK_WITHIN)
        if start == end:
            self._loaded.append(generation)
            return
        # Who waits for the same place begins anew with this one: that is rare, and short.
        self._loading.setdefault(place, []).append(_Loading(generation, end))
        self._reader.seek(place, start)

    def _take(self, place: TopicPartition, records: Sequence[Record]) -> None:
        assert self._reader is not None
        for loading in self._loading[place]:
            loading.take(records)
        reached = records[-1].offset + 1 if records else 0
        if self._reader.at_end(place) or all(reached >= each.end for each in self._loading[place]):
            self._reader.stop(place)
            for loading in self._loading.pop(place):
                loading.generation.cursors.load(loading.found)
                self._loaded.append(loading.generation)

    def write(self, saved: Iterable[Saved]) -> None:
        for record, cursor in saved:
            message = Message(self._topic, cursor, record.id.encode(), partition=record.partition)
            try:
                self._producer.send(message, _complain)
            except StreamjobsError as error:
                _complain(Delivery(self._topic, -1, -1, str(error)))

    def flush(self, timeout: float) -> None:
        self._producer.flush(timeout)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


def _complain(delivery: Delivery) -> None:
    if delivery.error is not None:
        log.error("a cursor was not saved", topic=delivery.topic, error=delivery.error)
