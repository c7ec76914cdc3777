"""Pieces of the engine for tests: routes, records, slices that run by hand, and what was told."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Commit, ConsumerOptions, Message, TopicPartition
from streamjobs.cursor_log import CursorLog
from streamjobs.engine.effects import Effects
from streamjobs.engine.events import Events
from streamjobs.engine.generation import Generation
from streamjobs.engine.keeping import Keeping
from streamjobs.engine.ledger import Frozen
from streamjobs.engine.orders import Order
from streamjobs.engine.owner import Limits, Owner
from streamjobs.engine.ports import Execution, Workers
from streamjobs.engine.route import Route
from streamjobs.engine.scheduler import Scheduler
from streamjobs.engine.slices import Slice
from streamjobs.failures.sequence import LetterLog
from streamjobs.policies import VirtualPartitions
from streamjobs.publisher import Topics
from streamjobs.record import Record
from streamjobs.settings import Settings

TOPIC = "in"
P0 = TopicPartition(TOPIC, 0)

MakeSlice = Callable[..., Slice]
GROUP = "group"
EPOCH = 1_700_000_000.0
"""The time of day at which an `Office` opens, in seconds since the epoch."""


def record(offset: int, key: bytes | None = b"k", value: bytes = b"") -> Record:
    """A record of the one partition."""
    return Record(TOPIC, 0, offset, key, value)


def nothing(_piece: Slice, _index: int) -> None:
    """A handler that succeeds and does nothing."""


def route(policy: VirtualPartitions | None = None, **others: Any) -> Route:
    """How the topic is treated; a handler that does nothing, unless said otherwise."""
    fields: dict[str, Any] = {"execution": "threads", "invoke": nothing} | others
    return Route(TOPIC, policy or VirtualPartitions(8), **fields)


PLAIN = route()


def generation(
    frontier: int = 0, partition: TopicPartition = P0, route: Route = PLAIN
) -> Generation:
    """One assignment of a partition."""
    return Generation(partition, route, frontier)


def carry_out(
    piece: Slice,
    failing: Mapping[int, Exception] | None = None,
    effects: Mapping[int, Effects] | None = None,
    limit: int | None = None,
) -> None:
    """Run a slice as a worker does, with outcomes by offset; stop after `limit` records."""
    for count, index in enumerate(piece.turns()):
        if count == limit:
            return
        offset = piece.records[index].offset
        if failing and offset in failing:
            piece.fail(index, failing[offset])
        else:
            piece.succeed(index, (effects or {}).get(offset))


class Told(Events):
    """Notes what the engine tells."""

    def __init__(self) -> None:
        self.failed_offsets: list[int] = []
        self.discarded_offsets: list[int] = []
        self.left_out_offsets: list[int] = []
        self.settled_offsets: list[int] = []
        self.stale_offsets: list[int] = []
        self.commits: list[int] = []
        self.failed_commits: list[str] = []
        self.undelivered_offsets: list[int] = []
        self.unreadable_reasons: list[str] = []
        self.dead_offsets: list[int] = []
        self.unburied_pauses: list[float] = []
        self.blocked_offsets: list[int] = []
        self.restored_attempts: list[tuple[int, int, float]] = []
        self.suspected_after: list[int] = []
        self.breakers_opened: list[tuple[int, int]] = []

    def after_settle(self, generation: Generation, records: Sequence[Record]) -> None:
        self.settled_offsets += offsets(records)

    def stale(self, piece: Slice) -> None:
        self.stale_offsets += offsets(piece.records)

    def failed(
        self, generation: Generation, record: Record, error: Exception, attempt: int, pause: float
    ) -> None:
        self.failed_offsets.append(record.offset)

    def discarded(self, generation: Generation, record: Record, error: Exception) -> None:
        self.discarded_offsets.append(record.offset)

    def left_out(self, generation: Generation, records: Sequence[Record]) -> None:
        self.left_out_offsets += offsets(records)

    def after_commit(self, frozen: Mapping[Generation, Frozen]) -> None:
        self.commits += [each.frontier for each in frozen.values()]

    def commit_failed(self, commits: Sequence[Commit], error: str) -> None:
        self.failed_commits.append(error)

    def undelivered(self, generation: Generation, record: Record, error: str) -> None:
        self.undelivered_offsets.append(record.offset)

    def dead_lettered(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        self.dead_offsets.append(record.offset)

    def unburied(self, generation: Generation, record: Record, reason: str, pause: float) -> None:
        self.unburied_pauses.append(pause)

    def blocked(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        self.blocked_offsets.append(record.offset)

    def restored(self, generation: Generation, record: Record, attempts: int, pause: float) -> None:
        self.restored_attempts.append((record.offset, attempts, pause))

    def suspected(self, generation: Generation, deaths: int) -> None:
        self.suspected_after.append(deaths)

    def breaker_opened(self, generation: Generation, died: int, ended: int) -> None:
        self.breakers_opened.append((died, ended))

    def unreadable(self, partition: TopicPartition, offset: int, reason: str) -> None:
        self.unreadable_reasons.append(reason)


def offsets(records: Iterable[Record]) -> list[int]:
    return [each.offset for each in records]


class Desk:
    """A scheduler with one partition, driven by hand.

    Args:
        policy: how the partition is split.
        slice_size: how many records make a slice, when so many wait.
    """

    def __init__(
        self, policy: VirtualPartitions | None = None, *, slice_size: int = 1, **others: Any
    ) -> None:
        self.told = Told()
        self.kept: list[int] = []
        self.scheduler = Scheduler({TOPIC: route(policy, **others)}, self.told)
        self.generation = self.scheduler.assign(P0, 0)
        self._slice_size = slice_size
        self._end = 0

    def accept(self, *keys: bytes | None) -> None:
        """Records with these keys arrive."""
        records = [record(self._end + index, key) for index, key in enumerate(keys)]
        self._end += len(records)
        self.scheduler.accept(self.generation, records)

    def start(self, free: int = 100) -> list[Slice]:
        """Slices for free workers."""
        pace = self.scheduler._paces[TOPIC]
        pace.limit = pace.roomy_limit = self._slice_size
        return self.scheduler.start("threads", free)

    def started(self) -> list[list[int]]:
        """Start what can be started; the offsets of each slice."""
        return [offsets(piece.records) for piece in self.start()]

    def finish(
        self, piece: Slice, *, failing: Mapping[int, Exception] | None = None, now: float = 0.0
    ) -> None:
        """A worker is through with this slice."""
        carry_out(piece, failing)
        self.scheduler.finish(piece, now, self.keep)

    def keep(self, _: Generation, __: Order, record: Record, ___: Effects | None) -> None:
        """Take over a record whose effects have to be acknowledged first."""
        self.kept.append(record.offset)

    def run_all(self) -> list[int]:
        """Start and finish until nothing is left; the offsets in the order they ran."""
        ran: list[int] = []
        while pieces := self.start(1):
            ran += offsets(pieces[0].records)
            self.finish(pieces[0])
        return ran


class Arrivals:
    """Where finished slices arrive."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Slice] = SimpleQueue()
        self.add = self._queue.put

    def next(self, timeout: float = 10.0) -> Slice:
        """The next one that is through."""
        return self._queue.get(timeout=timeout)

    @property
    def none(self) -> bool:
        """Whether nothing has arrived."""
        try:
            self._queue.get_nowait()
        except Empty:
            return True
        return False


class Hands(Workers, Execution):
    """Workers that run nothing by themselves: the test says when and with which outcome."""

    free = 100

    def __init__(self) -> None:
        self.slices: list[Slice] = []
        self._finished: list[Slice] = []

    def execution(self, kind: str) -> Execution:
        return self

    def start(self, slices: Sequence[Slice]) -> None:
        self.slices += slices

    def collect(self, timeout: float) -> Iterable[Slice]:
        finished, self._finished = self._finished, []
        return finished

    def cancel(self, piece: Slice) -> None:
        """Nothing can be: a handler that does not end is what happens in life."""

    def close(self) -> None:
        self.slices.clear()

    def finish(
        self,
        *only: int,
        failing: Mapping[int, Exception] | None = None,
        effects: Mapping[int, Effects] | None = None,
        fatal: BaseException | None = None,
    ) -> None:
        """Run the slices with these offsets, or all."""
        for piece in list(self.slices):
            if not only or set(only) & set(offsets(piece.records)):
                self.slices.remove(piece)
                if fatal is None:
                    carry_out(piece, failing, effects)
                piece.fatal = fatal
                self._finished.append(piece)

    @property
    def busy_with(self) -> list[int]:
        """The offsets that workers have."""
        return sorted(offset for piece in self.slices for offset in offsets(piece.records))


class Office:
    """An owner on a Kafka in memory, turned by hand, with a clock that stands still."""

    def __init__(
        self,
        cluster: MemoryCluster,
        name: str = "a",
        handling: Mapping[str, Any] | None = None,
        now: float = 0.0,
        **limits: Any,
    ) -> None:
        self.now = now
        self.told = Told()
        self.hands = Hands()
        self.broker = MemoryBroker(cluster, name)
        self.owner = Owner(
            {TOPIC: route(VirtualPartitions(64), **(handling or {}))},
            self.hands,
            self.broker.producer({}),
            lambda: self.now,
            Limits(**{"commit_interval": 1.0, "revoke_timeout": 0.0} | limits),
            self.told,
            Keeping(
                CursorLog(
                    "cursors",
                    Topics(self.broker, Settings()),
                    self.broker.producer({}),
                    lambda: self.broker.reader({}),
                    lambda: self.now,
                ),
                LetterLog(
                    Topics(self.broker, Settings()),
                    lambda: self.broker.reader({}),
                    lambda: self.now,
                ),
                None,
            ),
            None,
            lambda: self.broker.reader({}),
            lambda: EPOCH + self.now,
        )
        options = ConsumerOptions(GROUP, [TOPIC], report_ends=True)
        self.owner.attach(self.broker.consumer(options, self.owner))

    def turn(self, times: int = 4) -> None:
        """Let the owner take some turns at the same time of day."""
        for _ in range(times):
            self.owner.turn()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and the owner notice."""
        self.now += seconds
        self.turn()


def committed(cluster: MemoryCluster) -> int | None:
    """What the group has committed of the one partition."""
    found = cluster.committed(GROUP, TOPIC, 0)
    return None if found is None else found.offset


def die(cluster: MemoryCluster, name: str) -> None:
    """A process ends on the spot, and the group notices."""
    cluster.kill(name)
    cluster.expire(name)


def cluster_with(count: int, keys: Collection[bytes] = ()) -> MemoryCluster:
    """One partition with so many records, each of its own key if no keys are given."""
    cluster = MemoryCluster({TOPIC: 1, "out": 1, "cursors": 1}, blocking=False)
    names = list(keys)
    for number in range(count):
        key = names[number % len(names)] if names else b"%d" % number
        cluster.append(Message(TOPIC, b"", key, partition=0))
    return cluster
