"""One simulated process: the real owner and scheduler, over a broker in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, TypeVar

from streamjobs.broker.memory import Faults, MemoryBroker
from streamjobs.broker.ports import (
    Assigned,
    Batch,
    Commit,
    CommitResult,
    Consumer,
    ConsumerOptions,
    Delivery,
    Message,
    Producer,
    TopicPartition,
)
from streamjobs.cursor_log import CURSORS_SUFFIX, TopicCursorLog
from streamjobs.engine.events import Events, Fanout
from streamjobs.engine.generation import Generation
from streamjobs.engine.owner import Limits, Owner
from streamjobs.engine.route import Route
from streamjobs.failures.sequence import LetterLog
from streamjobs.publisher import Topics
from streamjobs.record import Record
from streamjobs.settings import Settings
from streamjobs.testing.history import Event
from streamjobs.testing.recorder import Recorder, order_text
from streamjobs.testing.simulation.clock import VirtualClock
from streamjobs.testing.simulation.cluster import ObservedCluster
from streamjobs.testing.simulation.coverage import Branches
from streamjobs.testing.simulation.workers import Behaviour, SimulatedWorkers

__all__ = ("Member", "SimulatedCrash")


Answer = TypeVar("Answer")


class SimulatedCrash(BaseException):  # it is no error: nothing may catch it
    """The process ends here and now."""


CURSOR_PARTITIONS: Final = 64
"""As many as any simulated topic has, at least."""


class CrashPoint:
    """Ends the process at one of its next requests to the broker, before or after it."""

    def __init__(self) -> None:
        self.armed: int | None = None

    def pass_by(self) -> None:
        """A request begins or has ended."""
        if self.armed is not None:
            self.armed -= 1
            if self.armed < 0:
                raise SimulatedCrash


class Blocks(Events):
    """Remembers which records hold their keys for good."""

    def __init__(self) -> None:
        self._held: dict[Generation, dict[int, str | None]] = {}

    def blocked(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        order = order_text(generation.order(record))
        self._held.setdefault(generation, {})[record.offset] = order

    def after_revoke(self, generation: Generation, lost: bool) -> None:
        self._held.pop(generation, None)

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._held)

    def held(self, partition: TopicPartition) -> Mapping[int, str | None]:
        """Those of this partition by their offsets, and the order of each."""
        for generation, records in self._held.items():
            if generation.partition == partition:
                return records
        return {}


class Member:
    """A process of the group, from its start to its end; a restart is another member.

    Attributes:
        alive, frozen: what happened to it.
        inside: whether it is in the middle of a turn (it waits in a callback).
        blocks: the keys that it holds for good.
    """

    def __init__(
        self,
        name: str,
        cluster: ObservedCluster,
        group: str,
        routes: Mapping[str, Route],
        clock: VirtualClock,
        random: Random,
        limits: Limits,
        behaviour: Behaviour,
        write: Callable[[Event], None],
        wait: Callable[[Member, float], None],
        branches: Branches,
    ) -> None:
        self.name = name
        self.alive = True
        self.frozen_until = 0.0
        self.inside = False
        self.faults = Faults()
        self.crash_point = CrashPoint()
        self.blocks = Blocks()
        self._clock = clock
        broker = MemoryBroker(cluster, name, self.faults)
        self.recorder = Recorder(name, clock, write)
        self.workers = SimulatedWorkers(
            clock,
            random,
            self.recorder,
            behaviour,
            lambda seconds: wait(self, seconds),
            branches.through,
        )
        cursors, topics = group + CURSORS_SUFFIX, Topics(broker, Settings())
        cluster.create(cursors, CURSOR_PARTITIONS)
        producer = _Producer(broker.producer({}), self.crash_point, random, cluster, name)
        self.owner = Owner(
            routes,
            self.workers,
            producer,
            clock,
            limits,
            Fanout(self.recorder, branches, self.blocks),
            TopicCursorLog(cursors, topics, producer, lambda: broker.reader({}), clock),
            LetterLog(topics, lambda: broker.reader({}), clock),
            lambda: broker.reader({}),
            wall=clock,
        )
        consumer = broker.consumer(ConsumerOptions(group, list(routes)), self.owner)
        self.owner.attach(_CrashingConsumer(consumer, self.crash_point))

    @property
    def has_stopped(self) -> bool:
        """Whether the app has stopped by itself: some failure's policy said so."""
        return self.owner.fatal is not None and self.owner.drained

    def has_read(self, partition: TopicPartition, end: int) -> bool:
        """Whether it has taken in what stands before `end`, or cannot for want of room."""
        generation = self.owner.scheduler.generations.get(partition)
        return generation is not None and (
            generation.ledger.next >= end or bool(generation.backlog)
        )

    @property
    def can_act(self) -> bool:
        """Whether the process runs at all now."""
        return self.alive and self._clock.now >= self.frozen_until

    def turn(self) -> None:
        """One turn of the owner.

        Raises:
            SimulatedCrash: the process ended in it.
        """
        self.inside = True
        try:
            self.owner.turn()
        finally:
            self.inside = False

    def close(self) -> None:
        """Leave the group in good order."""
        self.inside = True
        try:
            self.owner.close()
        finally:
            self.inside = False
            self.alive = False


class _CrashingConsumer(Consumer):
    """Every request is a moment to crash at."""

    def __init__(self, consumer: Consumer, point: CrashPoint) -> None:
        self._consumer = consumer
        self._point = point

    def poll(self, limit: int, timeout: float) -> Sequence[Batch]:
        return self._pass(lambda: self._consumer.poll(limit, timeout))

    def commit(self, commits: Sequence[Commit]) -> None:
        self._pass(lambda: self._consumer.commit(commits))

    def commit_now(self, commits: Sequence[Commit], timeout: float) -> CommitResult:
        return self._pass(lambda: self._consumer.commit_now(commits, timeout))

    def pause(self, partition: TopicPartition) -> None:
        self._consumer.pause(partition)

    def resume(self, partition: TopicPartition) -> None:
        self._consumer.resume(partition)

    def rewind(self, partition: TopicPartition) -> Assigned | None:
        return self._pass(lambda: self._consumer.rewind(partition))

    def close(self) -> None:
        self._pass(self._consumer.close)

    def _pass(self, request: Callable[[], Answer]) -> Answer:
        self._point.pass_by()
        answer = request()
        self._point.pass_by()
        return answer


class _Producer(Producer):
    """The same for what is written, which is signed; acknowledgements come when the dice let them.

    Args:
        producer: what writes.
        point: where the process may crash.
        random: the world's dice.
        cluster: where it goes, and who is told whose it is.
        member: the process's name.
    """

    def __init__(
        self,
        producer: Producer,
        point: CrashPoint,
        random: Random,
        cluster: ObservedCluster,
        member: str,
    ) -> None:
        self._producer = producer
        self._point = point
        self._random = random
        self._cluster = cluster
        self._member = member

    def send(self, message: Message, done: Callable[[Delivery], None] | None = None) -> None:
        self._point.pass_by()
        self._cluster.writer = self._member
        try:
            self._producer.send(message, done)
        finally:
            self._cluster.writer = ""
        self._point.pass_by()

    def poll(self, timeout: float) -> None:
        if self._random.random() < 0.3:
            self._producer.poll(timeout)

    def flush(self, timeout: float) -> int:
        return self._producer.flush(timeout)
