"""One simulated process: the real owner and scheduler, over a broker in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TypeVar

from streamjobs.broker.memory import Faults, MemoryBroker, MemoryCluster
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
from streamjobs.engine.events import Fanout
from streamjobs.engine.owner import Limits, Owner
from streamjobs.engine.route import Route
from streamjobs.testing.history import Event
from streamjobs.testing.recorder import Recorder
from streamjobs.testing.simulation.clock import VirtualClock
from streamjobs.testing.simulation.coverage import Branches
from streamjobs.testing.simulation.workers import Behaviour, SimulatedWorkers

__all__ = ("Member", "SimulatedCrash")


Answer = TypeVar("Answer")


class SimulatedCrash(BaseException):  # it is no error: nothing may catch it
    """The process ends here and now."""


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


class Member:
    """A process of the group, from its start to its end; a restart is another member.

    Attributes:
        alive, frozen: what happened to it.
        inside: whether it is in the middle of a turn (it waits in a callback).
    """

    def __init__(
        self,
        name: str,
        cluster: MemoryCluster,
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
        self.owner = Owner(
            routes,
            self.workers,
            _CrashingProducer(broker.producer({}), self.crash_point, random),
            clock,
            limits,
            Fanout(self.recorder, branches),
        )
        consumer = broker.consumer(ConsumerOptions(group, list(routes)), self.owner)
        self.owner.attach(_CrashingConsumer(consumer, self.crash_point))

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


class _CrashingProducer(Producer):
    """The same for what is emitted; acknowledgements come when the dice let them."""

    def __init__(self, producer: Producer, point: CrashPoint, random: Random) -> None:
        self._producer = producer
        self._point = point
        self._random = random

    def send(self, message: Message, done: Callable[[Delivery], None] | None = None) -> None:
        self._point.pass_by()
        self._producer.send(message, done)
        self._point.pass_by()

    def poll(self, timeout: float) -> None:
        if self._random.random() < 0.3:
            self._producer.poll(timeout)

    def flush(self, timeout: float) -> int:
        return self._producer.flush(timeout)
