"""Takes new records while there is room for them, and keeps the membership alive while not."""

from __future__ import annotations

from collections.abc import Collection

from streamjobs.broker.ports import Consumer, TopicPartition
from streamjobs.engine.alignment import Alignment
from streamjobs.engine.generation import Generation
from streamjobs.engine.intake import Intake
from streamjobs.engine.limits import Limits
from streamjobs.engine.scheduler import Scheduler

__all__ = ("Poller",)


class Poller:
    """From the consumer to the scheduler.

    Args:
        scheduler: where records go.
        limits: how many may be in memory.

    Attributes:
        ended: partitions that are read to the end of their log.
    """

    def __init__(self, scheduler: Scheduler, limits: Limits) -> None:
        self.ended: set[TopicPartition] = set()
        self._scheduler = scheduler
        self._intake = Intake(limits.window_records, limits.window_bytes)
        self._alignment = Alignment(scheduler, self.ended)
        self._consumer: Consumer

    def attach(self, consumer: Consumer) -> None:
        """Who polls."""
        self._consumer = consumer

    def turn(self, wait: float, now: float, *, takes: bool) -> bool:
        """Take what there is room for; says whether anything came. Waits for the first record up to
        so many seconds. With `takes` False it takes nothing.

        Raises:
            BrokerUnavailableError: what the consumer raised.
        """
        limit = self._intake.limit(self._generations, now) if takes else 0
        self._pause_and_resume(now)
        if not limit:
            # Nothing starts before the answer to the opening commit was served.
            opening = takes and any("opening" in each.gates for each in self._generations)
            if not opening and not self._intake.must_serve(now):
                return False
            limit = self._intake.peek() if takes else 0
        batches = self._consumer.poll(limit, wait)
        for partition, records in batches:
            generation = self._scheduler.generations.get(partition)
            if generation is not None:
                self.ended.discard(partition)
                if generation.route.together:
                    self._alignment.add(generation, records)
                else:
                    self._scheduler.accept(generation, records, now)
        return bool(batches)

    def align(self, now: float) -> bool:
        """Hand over what waited for records of other topics; says whether anything did."""
        return self._alignment.turn(now)

    def forget(self, generation: Generation) -> None:
        """This generation ended; that it was paused would outlive it at the client."""
        if self._intake.forget(generation):
            self._consumer.resume(generation.partition)
        self.ended.discard(generation.partition)

    def _pause_and_resume(self, now: float) -> None:
        for generation in self._intake.to_pause(self._generations, now):
            self._consumer.pause(generation.partition)
        for generation in self._intake.to_resume():
            if self._scheduler.is_current(generation):
                self._consumer.resume(generation.partition)

    @property
    def _generations(self) -> Collection[Generation]:
        return self._scheduler.generations.values()
