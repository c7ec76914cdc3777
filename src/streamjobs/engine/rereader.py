"""Reading deferred records again, through a second consumer that is in no group."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from streamjobs.broker.ports import Reader, TopicPartition
from streamjobs.engine.generation import Generation
from streamjobs.engine.orders import Order
from streamjobs.engine.scheduler import Scheduler
from streamjobs.errors import StreamjobsError
from streamjobs.record import Record

__all__ = ("Rereader",)

BATCH: Final = 500
"""Records read again at once."""

ASK_WITHIN: Final = 5.0
"""Seconds for a question to the broker."""

JUMP: Final = 2_000
"""Offsets that are skipped by a seek and not by reading over them."""

NEVER: Final = float("inf")

HELPING: Final = 128
"""Records of one order that are asked for at once, at most."""


class Rereader:
    """Brings deferred records back when their orders could run.

    Args:
        open_reader: makes the reader, when it is first needed.
        scheduler: where they go.
        window: records of one partition that may be in memory.
    """

    def __init__(
        self, open_reader: Callable[[], Reader], scheduler: Scheduler, window: int
    ) -> None:
        self._open_reader = open_reader
        self._scheduler = scheduler
        self._window = window
        self._reader: Reader | None = None
        self._readings: dict[Generation, _Reading] = {}

    @property
    def busy(self) -> bool:
        """Whether anything is still to come."""
        return any(reading.busy for reading in self._readings.values())

    def turn(self, now: float) -> bool:
        """Ask for what is wanted, and hand over what has come; says whether anything has.

        Raises:
            BrokerUnavailableError: what the reader raised.
        """
        for generation in self._scheduler.generations.values():
            if generation.deferred.hungry:
                self._reading(generation).ask(self._window - generation.held)
        if self._reader is None or not self.busy:
            return False
        batches = dict(self._reader.poll(BATCH, 0))
        for generation, reading in self._readings.items():
            for order, offset, record in reading.take(batches.get(generation.partition, ())):
                self._scheduler.refill(generation, order, offset, record, now)
        return bool(batches)

    def end_of(self, partition: TopicPartition) -> int | None:
        """Where the log of a partition ends now; None if nobody answers soon."""
        try:
            return self._opened().range(partition, ASK_WITHIN).end
        except StreamjobsError:
            return None

    def forget(self, generation: Generation) -> None:
        """This generation ended."""
        reading = self._readings.pop(generation, None)
        if reading is not None:
            reading.stop()

    def close(self) -> None:
        """Let go of the reader."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _reading(self, generation: Generation) -> _Reading:
        if generation not in self._readings:
            self._readings[generation] = _Reading(self._opened(), generation)
        return self._readings[generation]

    def _opened(self) -> Reader:
        if self._reader is None:
            self._reader = self._open_reader()
        return self._reader


class _Reading:
    """Reads deferred records of one generation again, from front to back.

    Args:
        reader: shared by all generations; each seeks in its own partition only.
        generation: whose.
    """

    def __init__(self, reader: Reader, generation: Generation) -> None:
        self._reader = reader
        self._generation = generation
        self._wanted: dict[int, Order] = {}
        self._ahead: list[int] = []
        """The same offsets, the lowest first (a heap)."""
        self._position: int | None = None

    @property
    def busy(self) -> bool:
        """Whether anything is still to come."""
        return bool(self._ahead)

    def ask(self, room: int) -> None:
        """Want the next records of the hungry orders, about as many as there is room for. What is
        asked for already will come.
        """
        deferred = self._generation.deferred
        if not deferred.hungry:
            return
        count = max(1, min(HELPING, room // len(deferred.hungry)))
        asked = set(self._wanted.values())
        for order in deferred.hungry:
            if order in deferred and order not in asked:
                for offset in deferred.next_of(order, count):
                    self._wanted[offset] = order
                    heapq.heappush(self._ahead, offset)
        deferred.hungry.clear()
        self._go_on()

    def take(self, records: Sequence[Record]) -> Iterator[tuple[Order, int, Record | None]]:
        """What was wanted of these records, by order; None for one that is not there any more: the
        log goes on behind its offset.
        """
        if self._position is None:
            return
        for record in records:
            if not self._ahead:
                break
            if record.offset < self._ahead[0]:
                continue
            yield from self._gone_before(record.offset)
            if self._ahead and self._ahead[0] == record.offset:
                heapq.heappop(self._ahead)
                yield self._wanted.pop(record.offset), record.offset, record
        if records:
            self._position = records[-1].offset + 1
        elif self._ahead and self._reader.at_end(self._generation.partition):
            yield from self._gone_before(NEVER)
        self._go_on()

    def stop(self) -> None:
        """Read nothing of this generation any more."""
        if self._position is not None:
            self._position = None
            self._reader.stop(self._generation.partition)

    def _go_on(self) -> None:
        """Read on to the next one that is wanted: over what lies between, if that is not much."""
        if not self._ahead:
            self.stop()
            return
        offset, position = self._ahead[0], self._position
        if position is None or not position <= offset <= position + JUMP:
            self._reader.seek(self._generation.partition, offset)
            self._position = offset

    def _gone_before(self, offset: float) -> Iterator[tuple[Order, int, None]]:
        while self._ahead and self._ahead[0] < offset:
            gone = heapq.heappop(self._ahead)
            yield self._wanted.pop(gone), gone, None
