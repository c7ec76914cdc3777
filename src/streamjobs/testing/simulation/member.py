"""One simulated process: the real owner and scheduler, over a broker in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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
    Transactions,
)
from streamjobs.cursor_log import CURSORS_SUFFIX, CursorLog
from streamjobs.engine.checkpoint import PIECE, Checkpoint, Stage
from streamjobs.engine.events import Events, Fanout
from streamjobs.engine.generation import Generation
from streamjobs.engine.keeping import Keeping
from streamjobs.engine.owner import Limits, Owner
from streamjobs.engine.route import Route
from streamjobs.engine.sinks import Sinks
from streamjobs.engine.transaction import TransactionalProducer
from streamjobs.errors import FencedError, UnknownTransactionError
from streamjobs.failures.sequence import LetterLog
from streamjobs.publisher import EnsuringProducer, Topics
from streamjobs.record import Record
from streamjobs.settings import Settings
from streamjobs.state.keeper import StateKeeper
from streamjobs.testing.history import Event
from streamjobs.testing.recorder import Recorder, order_text
from streamjobs.testing.simulation.clock import VirtualClock
from streamjobs.testing.simulation.cluster import ObservedCluster
from streamjobs.testing.simulation.coverage import Branches
from streamjobs.testing.simulation.disk import Machine, ProcessStores
from streamjobs.testing.simulation.workers import Behaviour, SimulatedWorkers

__all__ = ("TRANSACTION_TIMEOUT", "Member", "SimulatedCrash")

Answer = TypeVar("Answer")


class SimulatedCrash(BaseException):  # it is no error: nothing may catch it
    """The process ends here and now."""


TRANSACTION_TIMEOUT: Final = 10.0
"""Virtual seconds."""

PATIENCE: Final = 1.0
"""Virtual seconds to wait for the answers to changelog records."""

CURSOR_PARTITIONS: Final = 64
"""As many as any simulated topic has, at least."""


class CrashPoint:
    """Ends the process at one of its next requests to the broker, before or after it."""

    def __init__(self) -> None:
        self.armed: int | None = None
        self.armed_in_transaction: int | None = None

    def pass_by(self) -> None:
        """A request begins or has ended."""
        if self.armed is not None:
            self.armed -= 1
            if self.armed < 0:
                raise SimulatedCrash

    def pass_by_in_transaction(self) -> None:
        """The same of a request about transactions, or of the write to a store after one."""
        self.pass_by()
        if self.armed_in_transaction is not None:
            self.armed_in_transaction -= 1
            if self.armed_in_transaction < 0:
                raise SimulatedCrash

    def disarm(self) -> None:
        """It ends at none of them."""
        self.armed = self.armed_in_transaction = None


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


class Revocations(Events):
    """Tells when partitions go away."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def before_revoke(self, generation: Generation) -> None:
        self._tell("revoked")


class Member:
    """A process of the group, from its start to its end; a restart is another member.

    Attributes:
        alive, frozen: what happened to it.
        inside: whether it is in the middle of a turn (it waits in a callback).
        blocks: the keys that it holds for good.
        machine: where it runs.
        checkpoint: None for plain commits.
        stall: for so many seconds it will stand still inside of its next transaction, and whether
            its session ends meanwhile.
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
        machine: Machine | None = None,
        transactional_id: str | None = None,
        piece: int = PIECE,
        stand_still: Callable[[Member, float, bool], None] = lambda member, seconds, expires: None,
        listeners: Sequence[Events] = (),
        sinks: Sinks | None = None,
    ) -> None:
        self.name = name
        self.stall: tuple[float, bool] | None = None
        self.alive = True
        self.frozen_until = 0.0
        self.inside = False
        self.faults = Faults()
        self.crash_point = CrashPoint()
        self.blocks = Blocks()
        self._clock = clock
        self._took = branches.took
        routes = {topic: replace(route, wall=clock) for topic, route in routes.items()}
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
        self.machine = machine or Machine(name)
        self._stores = ProcessStores(
            self.machine, self.crash_point.pass_by_in_transaction, branches.took
        )

        def open_transactions() -> Transactions:
            inner = broker.transactions(transactional_id or name, TRANSACTION_TIMEOUT, {})
            return _Transactions(
                inner,
                self.crash_point,
                random,
                cluster,
                name,
                group,
                lambda seconds: wait(self, seconds),
                branches.took,
                lambda: self._stall(stand_still),
                lambda: self.inside_checkpoint("aborted"),
            )

        checkpoint = self.checkpoint = self._checkpoint(cluster, routes, open_transactions, piece)
        producer = _Producer(broker.producer({}), self.crash_point, random, cluster, name)
        exactly_once = checkpoint is not None and any(
            each.transactional for each in routes.values()
        )
        emitting: Producer = producer
        if checkpoint is not None and exactly_once:
            emitting = EnsuringProducer(TransactionalProducer(checkpoint.transaction), topics)
        self.owner = Owner(
            routes,
            self.workers,
            emitting,
            clock,
            limits,
            Fanout(
                self.recorder,
                branches,
                self.blocks,
                Revocations(self.inside_checkpoint),
                *listeners,
            ),
            Keeping(
                CursorLog(cursors, topics, producer, lambda: broker.reader({}), clock),
                LetterLog(topics, lambda: broker.reader({}), clock),
                self._state_keeper(routes, broker),
            ),
            checkpoint,
            lambda: broker.reader({}),
            wall=clock,
            sinks=sinks,
        )
        joins = any(route.together for route in routes.values())
        options = ConsumerOptions(group, list(routes), report_ends=joins, copartitioned=joins)
        consumer = broker.consumer(options, self.owner)
        self.owner.attach(_CrashingConsumer(consumer, self.crash_point, cluster))

    def _checkpoint(
        self,
        cluster: ObservedCluster,
        routes: Mapping[str, Route],
        open_transactions: Callable[[], Transactions],
        piece: int,
    ) -> Checkpoint | None:
        """Where an app would have one; its changelogs are made here, too."""
        for route in routes.values():
            for changelog in route.changelogs.values():
                cluster.create(changelog, cluster.topics()[route.topic])
        if not any(route.changelogs or route.transactional for route in routes.values()):
            return None
        checkpoint = Checkpoint(open_transactions, PATIENCE, self._clock, piece)
        checkpoint.transaction.start()
        return checkpoint

    def _state_keeper(
        self, routes: Mapping[str, Route], broker: MemoryBroker
    ) -> StateKeeper | None:
        if not any(route.changelogs for route in routes.values()):
            return None
        patience = 2 * TRANSACTION_TIMEOUT
        return StateKeeper(
            self._stores, lambda: broker.reader({}), self._clock, patience, wall=self._clock
        )

    def inside_checkpoint(self, what: str) -> None:
        """Something happens, maybe between two steps of a checkpoint."""
        if self.checkpoint is not None and self.checkpoint.stage is not Stage.OVER:
            self._took(f"{what} inside of a checkpoint")

    def _stall(self, stand_still: Callable[[Member, float, bool], None]) -> None:
        stall, self.stall = self.stall, None
        if stall is not None:
            stand_still(self, *stall)

    def die(self) -> None:
        """The process is no more; what it had open is free."""
        self.alive = False
        self._stores.let_go()

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

    def __init__(self, consumer: Consumer, point: CrashPoint, cluster: ObservedCluster) -> None:
        self._consumer = consumer
        self._point = point
        self._cluster = cluster

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

    def group_metadata(self) -> object | None:
        """A real client has a thread that joins again after its session is over, before anybody
        is told: as whom the process commits is then more than it knows.
        """
        return self._cluster.rejoined(self._consumer.group_metadata())

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


class _Transactions(Transactions):
    """The same for transactions; who waits for an answer lets time pass.

    Args:
        transactions: what does it.
        point: where the process may crash.
        random: the world's dice.
        cluster: told of each end of a transaction, and whose it is.
        member: the process's name.
        group: whose progress it commits.
        wait: lets so many seconds pass.
        took: told what went wrong.
        moment: called inside of a transaction, where the process may stand still.
        aborting: called before one is aborted.
    """

    def __init__(
        self,
        transactions: Transactions,
        point: CrashPoint,
        random: Random,
        cluster: ObservedCluster,
        member: str,
        group: str,
        wait: Callable[[float], None],
        took: Callable[[str], None],
        moment: Callable[[], None],
        aborting: Callable[[], None],
    ) -> None:
        self._moment = moment
        self._aborting = aborting
        self._transactions = transactions
        self._point = point
        self._random = random
        self._cluster = cluster
        self._member = member
        self._group = group
        self._wait = wait
        self._took = took

    def start(self, timeout: float) -> None:
        self._pass(lambda: self._transactions.start(timeout))

    def begin(self) -> None:
        self._pass(self._transactions.begin)

    def send(self, message: Message, done: Callable[[Delivery], None] | None = None) -> None:
        self._pass(lambda: self._transactions.send(message, done))
        self._moment()

    def poll(self, timeout: float) -> None:
        if timeout:
            self._wait(timeout)
        if self._random.random() < 0.3:
            self._transactions.poll(0)

    def commit(self, commits: Sequence[Commit], group: object | None, timeout: float) -> None:
        self._pass(lambda: self._commit(commits, group, timeout))

    def abort(self, timeout: float) -> None:
        self._aborting()
        self._pass(lambda: self._transactions.abort(timeout))

    def close(self) -> None:
        self._pass(self._transactions.close)

    def _commit(self, commits: Sequence[Commit], group: object | None, timeout: float) -> None:
        self._cluster.writer = self._member
        try:
            self._transactions.commit(commits, group, timeout)
        finally:
            self._cluster.tell_checkpoints(self._group, [each.partition for each in commits])
            self._cluster.writer = ""

    def _pass(self, request: Callable[[], None]) -> None:
        self._point.pass_by_in_transaction()
        try:
            request()
        except UnknownTransactionError:
            self._took("unknown commit")
            raise
        except FencedError:
            self._took("transaction fenced")
            raise
        self._point.pass_by_in_transaction()
