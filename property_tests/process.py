"""One process of the engine without its loop: the real scheduler, ledgers, outbox and committer,
and a test that decides what happens next.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from streamjobs.broker.memory.log import Log
from streamjobs.broker.ports import Commit, CommitResult, Delivery, Message, Producer
from streamjobs.broker.ports import TopicPartition as Place
from streamjobs.engine import completion_map
from streamjobs.engine.committer import Committer
from streamjobs.engine.effects import Effects
from streamjobs.engine.generation import Generation
from streamjobs.engine.outbox import Outbox
from streamjobs.engine.route import Route
from streamjobs.engine.scheduler import Scheduler
from streamjobs.engine.slices import Slice
from streamjobs.engine.troubles import Burial
from streamjobs.errors import DeliveryError, UndecodableRecordError
from streamjobs.record import Record
from streamjobs.testing.history import Event
from streamjobs.testing.recorder import Recorder

DEAD = "in.dead"
"""The topic of dead letters."""

MANY = 1000
"""Workers enough for everything."""


class Process:
    """Like the owner, but for the order in which things are done."""

    def __init__(
        self, name: str, route: Route, write: Callable[[Event], None], clock: Callable[[], float]
    ) -> None:
        self.recorder = Recorder(name, clock, write)
        self.scheduler = Scheduler({route.topic: route}, self.recorder, clock)
        self.committer = Committer(self.recorder)
        self.post = Post()
        self.outbox = Outbox(self.post, self._acknowledged, self._undelivered)
        self.workers: list[Worker] = []
        self.through: list[Slice] = []
        self.answers: deque[CommitResult] = deque()
        self.undeliverable: dict[Generation, None] = {}
        self.stopped = False
        self._clock = clock
        self._kind = route.execution
        self._next: dict[Generation, tuple[int, int]] = {}
        self._logs: dict[Place, Log] = {}

    @property
    def generations(self) -> list[Generation]:
        return list(self.scheduler.generations.values())

    def assign(self, log: Log, committed: Commit | None) -> None:
        """The partition is ours, from where the group had got to."""
        offset, runs = log.start, completion_map.decode(0, "").runs
        if committed is not None:
            offset = max(log.start, committed.offset)
            runs = completion_map.decode(committed.offset, committed.metadata).runs
        generation = self.scheduler.assign(log.partition, offset, runs)
        self._next[generation] = offset, offset
        self._logs[log.partition] = log
        self.recorder.after_assign(generation)

    def poll(self, log: Log, limit: int, again: int) -> None:
        """Take records; the last `again` ones of those taken before come a second time."""
        generation = self.scheduler.generations.get(log.partition)
        if generation is None or generation.halted:
            return
        first, at = self._next[generation]
        if again and at > first:
            at = max(first, log.back(at, again))
        records, at = log.read(at, limit)
        self._next[generation] = first, at
        self.scheduler.accept(generation, records)

    def start(self, free: int = MANY) -> None:
        """Hand out slices."""
        self.scheduler.wake(self._clock())
        for generation in self.generations:
            self.scheduler.accept(generation, ())
        self.bury()
        self.read_again()
        pieces = self.scheduler.start(self._kind, free)
        self.workers += [Worker(piece, self.recorder) for piece in pieces]

    def read_again(self) -> None:
        """Deferred records whose turn has come."""
        for generation in self.generations:
            deferred = generation.deferred
            records = {each.offset: each for each in self._logs[generation.partition].records}
            hungry, deferred.hungry = deferred.hungry, {}
            for order in hungry:
                for offset in deferred.next_of(order, 3) if order in deferred else ():
                    record = records.get(offset)
                    self.scheduler.refill(generation, order, offset, record, self._clock())

    def work(self, worker: "Worker", fails: bool = False) -> None:
        """Let a worker begin or end an attempt, or hand its slice back."""
        if not worker.move(fails):
            self.workers.remove(worker)
            self.through.append(worker.piece)

    def merge(self) -> None:
        """Take over slices that workers are through with."""
        for piece in self.through:
            self.scheduler.finish(piece, self._clock(), self.outbox.keep)
        self.through.clear()
        self.bury()

    def bury(self) -> None:
        """Send the dead letters that are due."""
        for burial in self.scheduler.troubles.take_burials():
            if self.scheduler.is_current(burial.generation):
                self.outbox.bury(burial, self._buried)

    def _buried(self, burial: Burial, delivery: Delivery) -> None:
        if delivery.error is None:
            self.scheduler.buried(burial, delivery.offset, self.outbox.keep)
        else:
            self.scheduler.unburied(burial, delivery.error, self._clock())

    def harvest(self) -> None:
        """Take over what slices which still run have done so far."""
        for piece in self.scheduler.running:
            self.scheduler.harvest(piece, self.outbox.keep)

    def end(self, generation: Generation, lost: bool) -> None:
        """A generation is over."""
        self.scheduler.drop(generation)
        self.committer.forget(generation)
        self.recorder.after_revoke(generation, lost)

    def stop(self) -> None:
        """Nothing more starts."""
        self.stopped = True
        for generation in self.generations:
            generation.stop()

    def _acknowledged(self, generation: Generation, offsets: Sequence[int]) -> None:
        if self.scheduler.is_current(generation):
            self.scheduler.complete(generation, offsets)

    def _undelivered(self, generation: Generation, record: Record, error: str) -> None:
        if self.scheduler.is_current(generation):
            self.undeliverable[generation] = None


class Worker:
    """Runs one slice, an attempt at a time."""

    def __init__(self, piece: Slice, recorder: Recorder) -> None:
        self.piece = piece
        self._recorder = recorder
        self._turns: Iterator[int] = piece.turns()
        self._runs: int | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether an attempt has begun and not ended."""
        return self._runs is not None

    def move(self, fails: bool) -> bool:
        """Begin an attempt, or end the one that runs; False when there is nothing more to do."""
        if self._runs is None:
            self._runs = next(self._turns, None)
            if self._runs is not None:
                self._recorder.started_attempt(self.piece, self._runs)
            return self._runs is not None
        index, self._runs = self._runs, None
        outcome = _outcome(self.piece.records[index], fails)
        if isinstance(outcome, Exception):
            self.piece.fail(index, outcome)
        else:
            self.piece.succeed(index, outcome)
        self._recorder.finished_attempt(self.piece, index, outcome)
        return True


def _outcome(record: Record, fails: bool) -> Effects | Exception | None:
    """The value of a record is the number of records to emit for it."""
    if fails:
        return ConnectionError("as the test says")
    if record.value == b"undecodable":
        return UndecodableRecordError("as the record says")
    count = int(record.value or b"0")
    if not count:
        return None
    effects = Effects()
    effects.emits += [Message("out", record.id.encode(), record.key)] * count
    return effects


class Post(Producer):
    """A producer whose acknowledgements come when the test wants, and in any order.

    Attributes:
        waiting: what is on its way.
        refuses: how many messages it does not take.
        loses: how many dead letters it takes and never writes.
        buried: called with each dead letter that is written.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Message, Callable[[Delivery], None]]] = []
        self.refuses = 0
        self.loses = 0
        self.buried: Callable[[Message], None] = lambda letter: None
        self._lost: list[Message] = []

    def send(self, message: Message, done: Callable[[Delivery], None] | None = None) -> None:
        if self.refuses:
            self.refuses -= 1
            raise DeliveryError("refused at once")
        assert done is not None
        self.waiting.append((message, done))
        if message.topic != DEAD:
            return
        if self.loses:
            self.loses -= 1
            self._lost.append(message)
        else:
            self.buried(message)

    def answer(self, which: int, error: str | None = None) -> Message:
        """Tell what became of one message; returns it."""
        message, done = self.waiting.pop(which % len(self.waiting))
        if any(message is lost for lost in self._lost):
            error = "lost"
            self._lost = [lost for lost in self._lost if lost is not message]
        done(Delivery(message.topic, 0, -1 if error else 0, error))
        return message

    def poll(self, timeout: float) -> None:
        return

    def flush(self, timeout: float) -> int:
        return len(self.waiting)


def source(message: Message) -> tuple[Place, int]:
    """The record that emitted this."""
    topic, partition, offset = (message.value or b"").decode().rsplit("/", 2)
    return Place(topic, int(partition)), int(offset)
