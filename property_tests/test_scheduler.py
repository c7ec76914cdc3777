"""Whatever happens in whatever order: key order, one at a time, nothing lost, no commit ahead.

The machine plays the owner, the workers, the broker and bad luck with the pure engine: no broker,
no threads, no clock.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from property_tests.process import DEAD, MANY, Process, source
from streamjobs import headers
from streamjobs.broker.memory.log import Log
from streamjobs.broker.ports import Commit, CommitResult, Message
from streamjobs.broker.ports import TopicPartition as Place
from streamjobs.engine import completion_map
from streamjobs.engine.failure import Backoff, Failures
from streamjobs.engine.generation import Generation
from streamjobs.engine.route import Route
from streamjobs.engine.slices import Slice
from streamjobs.engine.virtual_partition import VirtualPartition
from streamjobs.failures.letters import DeadLetter
from streamjobs.failures.policy import FailurePolicy, Handling
from streamjobs.failures.retry import Retry
from streamjobs.policies import VirtualPartitions
from streamjobs.record import Record
from streamjobs.testing.guarantees import (
    CommitNeverAhead,
    DeadLetterKeepsOrder,
    EveryRecordSettledOnce,
    KeyOrder,
    KeySerial,
    NoLoss,
    ReplayBounded,
)
from streamjobs.testing.history import Buried, Crashed, Delivered, Event, Removed, Sent
from streamjobs.testing.simulation.scenario import order_of
from streamjobs.testing.simulation.small_map import map_of
from tests.support.engine import nothing

FRAME = 10
"""Characters of the metadata around the map itself, see docs/commit-metadata.md."""

POLICIES = st.builds(
    VirtualPartitions,
    count=st.sampled_from([1, 2, 3, 8]),
    distribution=st.just("consistent"),
    ordering=st.sampled_from(["key", "virtual_partition", "none"]),
) | st.builds(
    VirtualPartitions,
    count=st.sampled_from([1, 2, 3, 8]),
    distribution=st.just("balanced"),
    ordering=st.sampled_from(["key", "none"]),
)

KEYS = st.one_of(
    st.sampled_from([b"a", b"b", b"c"]),
    st.none(),
    st.binary(max_size=2),
    st.sampled_from([b"huge", b"raises"]),
)
VALUES = st.sampled_from([b"0", b"0", b"1", b"2", b"undecodable"])
FATES = st.sampled_from(["applied", "applied", "refused", "unanswered"])
SIZES = st.sampled_from([1, 1, 3, 20])


def policy_of(handling: Handling) -> FailurePolicy:
    return FailurePolicy(lambda record: handling, DeadLetter(DEAD), "group")


FAILURES: st.SearchStrategy[Failures] = st.just(Backoff(first=1.0)) | st.builds(
    Handling,
    st.builds(Retry, st.sampled_from([1, 2, None]), st.sampled_from([0.1, 1.0])),
    st.sampled_from(["dead_letter", "dead_letter", "discard"]),
).map(policy_of)
ANY = st.integers(0, 7)
"""Which of those there are, counted around."""


def picky(record: Record) -> bytes | None:
    """A user's partitioner."""
    if record.key == b"raises":
        raise ValueError("no key for this one")
    return record.key


class SchedulerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.lives = 0
        self.logs = [Log(Place("in", number)) for number in range(2)]
        self.committed: dict[Place, Commit] = {}
        self.arrived: Counter[tuple[Place, int]] = Counter()
        self.emits: dict[tuple[Place, int], int] = {}
        self.sent: dict[tuple[Place, int], tuple[Record, str | None]] = {}
        self.letters = 0
        self.no_loss = NoLoss(deliveries=True)
        self.guarantees = [
            KeyOrder(),
            KeySerial(),
            CommitNeverAhead(deliveries=True, letters=True),
            ReplayBounded(),
            EveryRecordSettledOnce(letters=True),
            DeadLetterKeepsOrder(),
        ]
        self.until_teardown = ExitStack()

    @initialize(
        policy=POLICIES,
        ordering_key=st.sampled_from([None, picky]),
        map_characters=st.sampled_from([None, None, 1, 2]),
        failures=FAILURES,
    )
    def begin(
        self,
        policy: VirtualPartitions,
        ordering_key: Callable[[Record], bytes | None] | None,
        map_characters: int | None,
        failures: Failures,
    ) -> None:
        self.until_teardown.enter_context(map_of(map_characters))
        self.route = Route("in", policy, "threads", nothing, ordering_key, failures)
        self.live()

    def live(self) -> None:
        """A process begins, with both partitions."""
        self.lives += 1
        self.process = Process(f"p{self.lives}", self.route, self.write, lambda: self.now)
        self.process.post.buried = self.note_burial
        for log in self.logs:
            self.process.assign(log, self.committed.get(log.partition))

    def write(self, event: Event) -> None:
        for guarantee in (*self.guarantees, self.no_loss):
            guarantee.see(event)

    # -- the log -----------------------------------------------------------------------------

    @rule(which=ANY, records=st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=8))
    def send(self, which: int, records: list[tuple[bytes | None, bytes]]) -> None:
        for key, value in records:
            log = self.log(which)
            key = b"huge" * 250 if key == b"huge" else key  # so that examples stay readable
            record = log.append(Message("in", value, key), 0)
            if value.isdigit():
                self.emits[log.partition, record.offset] = int(value)
            try:
                order = order_of(self.route, record)
            except ValueError:
                order = None
            self.sent[log.partition, record.offset] = record, order
            self.write(Sent(self.now, log.partition, record.offset, order))

    @rule(which=ANY, what=st.sampled_from([1, 2, 20, 10**9, "compaction", "retention"]))
    def lose_offsets(self, which: int, what: int | str) -> None:
        """A gap of so many, or what takes records away."""
        log = self.log(which)
        gone: list[Record] = []
        if isinstance(what, int):
            log.skip(what)
        elif what == "compaction":
            gone = log.records[-3:-2]
            for record in gone:
                log.delete(record.offset)
        elif len(log.records) > 3:
            gone = log.records[:2]
            log.truncate(log.records[2].offset)
        for record in gone:
            self.write(Removed(self.now, log.partition, record.offset))

    # -- owner and workers -------------------------------------------------------------------

    @rule(which=ANY, limit=st.sampled_from([1, 5, 50]), again=st.sampled_from([0, 0, 0, 2, 9]))
    def poll(self, which: int, limit: int, again: int) -> None:
        if not self.process.stopped:
            self.process.poll(self.log(which), limit, again)

    @rule(size=SIZES, at_work=st.booleans())
    def turn(self, size: int, at_work: bool) -> None:
        """All that the owner does in its turn, where partitions come (back), too; and maybe all
        workers are in the middle of an attempt then.
        """
        self.process.merge()
        for log in self.logs:
            self.give(log.partition.partition)
            self.poll(log.partition.partition, 50, 0)
        self.start(MANY, size)
        for worker in [*self.process.workers]:
            if at_work and not worker.is_at_work:
                self.process.work(worker)

    @rule(free=st.sampled_from([1, 2, MANY, MANY]), size=SIZES)
    def start(self, free: int, size: int) -> None:
        pace = self.process.scheduler._paces["in"]
        pace.limit = pace.roomy_limit = size
        self.process.start(free)
        if free == MANY:
            self.nobody_waits_for_nothing()

    @precondition(lambda self: self.process.workers)
    @rule(which=ANY, fails=st.lists(st.sampled_from([False, False, True]), min_size=1, max_size=9))
    def work(self, which: int, fails: list[bool]) -> None:
        worker = self.process.workers[which % len(self.process.workers)]
        for each in fails:
            if worker in self.process.workers:
                self.process.work(worker, each)

    @precondition(lambda self: self.process.workers)
    @rule(steps=st.integers(1, 9))
    def all_work(self, steps: int) -> None:
        for worker in [*self.process.workers] * steps:
            if worker in self.process.workers:
                self.process.work(worker)

    @precondition(lambda self: self.process.through)
    @rule()
    def merge(self) -> None:
        self.process.merge()

    @precondition(lambda self: self.process.workers)
    @rule()
    def harvest(self) -> None:
        self.process.harvest()

    @rule(seconds=st.sampled_from([0.5, 2.0, 100.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.process.scheduler.wake(self.now)

    # -- emitted records ---------------------------------------------------------------------

    @precondition(lambda self: self.process.post.waiting)
    @rule(which=st.lists(ANY, min_size=1, max_size=5))
    def acknowledge(self, which: list[int]) -> None:
        for each in which[: len(self.process.post.waiting)]:
            self.note_arrival(self.process.post.answer(each))

    @precondition(lambda self: self.process.post.waiting)
    @rule(which=ANY, refuse_another=st.booleans(), at_once=st.booleans())
    def deliver_not(self, which: int, refuse_another: bool, at_once: bool) -> None:
        """What was sent does not arrive; the owner reads again from the last commit. A letter may
        have arrived all the same: it is sent again.
        """
        self.process.post.refuses = int(refuse_another)
        self.process.post.answer(which, "refused")
        if at_once:
            self.read_again()

    @precondition(lambda self: self.process.undeliverable)
    @rule()
    def read_again(self) -> None:
        for generation in self.process.undeliverable:
            if self.process.scheduler.is_current(generation):
                self.process.end(generation, lost=False)
                self.assign(generation.partition)
        self.process.undeliverable.clear()

    @rule()
    def lose_a_letter(self) -> None:
        """The next one does not arrive."""
        self.process.post.loses += 1

    # -- commits -----------------------------------------------------------------------------

    @rule(fate=FATES, with_running=st.booleans())
    def commit(self, fate: str, with_running: bool) -> None:
        if with_running:
            self.process.harvest()
        commits = self.process.committer.freeze(self.process.generations, self.now)
        if commits:
            self.process.answers.append(self.store(commits, fate))

    @precondition(lambda self: self.process.answers)
    @rule()
    def answer(self) -> None:
        self.process.committer.answered(self.process.answers.popleft())

    # -- partitions come and go --------------------------------------------------------------

    @rule(which=ANY)
    def ask_back(self, which: int) -> None:
        """A revocation begins; what runs may end."""
        generation = self.current(which)
        if generation is not None and not generation.revoked:
            generation.revoke()
            self.process.recorder.before_revoke(generation)

    @rule(which=ANY, how=st.sampled_from(["applied", "refused", "lost"]), keep=st.booleans())
    def take_back(self, which: int, how: str, keep: bool) -> None:
        """A revocation ends, with a last commit; or the partition is lost. With `keep`, it comes
        back at once.
        """
        generation = self.current(which)
        if generation is not None and how == "lost":
            self.process.end(generation, lost=True)
        elif generation is not None:
            self.ask_back(which)
            self.process.harvest()
            commits = self.process.committer.freeze_last([generation])
            if commits:
                self.process.committer.answered_last(self.store(commits, how))
            self.process.end(generation, lost=False)
        if keep:
            self.give(which)

    def give(self, which: int) -> None:
        if self.current(which) is None and not self.process.stopped:
            self.assign(self.log(which).partition)

    @rule(at_once=st.booleans())
    def end(self, at_once: bool) -> None:
        """The process is killed, or told to stop and then killed."""
        if at_once or self.process.stopped:
            self.write(Crashed(self.now, f"p{self.lives}"))
            self.live()
        else:
            self.process.stop()

    # -- what holds after each step ----------------------------------------------------------

    @invariant()
    def promises_hold(self) -> None:
        for guarantee in self.guarantees:
            guarantee.check()

    @invariant()
    def books_balance(self) -> None:
        for generation in self.process.generations:
            waiting_for_acks = sum(map(len, generation.unacknowledged.values()))
            deferred = len(generation.deferred)
            assert generation.ledger.pending == generation.held + deferred + waiting_for_acks
            held = []
            for lane in generation.virtual_partitions:
                here = unsettled_here(lane, self.process.scheduler.running)
                assert lane.load == len(here)
                held += here + parked_here(lane)
            assert generation.held == len(held)
            assert generation.held_bytes == sum(record.size for record in held)

    @invariant()
    def keys_complete_in_their_order(self) -> None:
        """Else a crash would run a record again behind a later one of its key."""
        for generation in self.process.generations:
            open_orders = set()
            for record in self.log(generation.partition.partition).records:
                if record.offset < generation.ledger.next and record.key != b"raises":
                    order = generation.order(record)
                    if generation.ledger.is_complete(record.offset):
                        assert order not in open_orders
                    else:
                        open_orders.add(order)

    @invariant()
    def maps_fit(self) -> None:
        for generation in self.process.generations:
            frontier, metadata = generation.ledger.freeze()
            assert len(metadata) <= completion_map.MAP_CHARACTERS + FRAME
            assert len(metadata) <= completion_map.METADATA_CHARACTERS
            runs = list(generation.ledger.runs())
            assert list(completion_map.decode(frontier, metadata).runs) == runs

    def nobody_waits_for_nothing(self) -> None:
        """With workers enough, every virtual partition that could run something does."""
        for generation in self.process.generations:
            idle = [lane for lane in generation.virtual_partitions if lane.startable]
            assert generation.halted or not idle

    # -- the end -----------------------------------------------------------------------------

    def teardown(self) -> None:
        with self.until_teardown:
            if hasattr(self, "process"):
                self.come_to_rest()
                self.promises_hold()
                self.books_balance()
                self.no_loss.check()
                self.nothing_is_left()

    def come_to_rest(self) -> None:
        """All luck is good from now on, and nothing new comes."""
        if self.process.stopped:
            self.end(at_once=True)
        self.process.post.refuses = self.process.post.loses = 0
        for _ in range(300):
            self.read_again()
            for log in self.logs:
                generation = self.process.scheduler.generations.get(log.partition)
                if generation is None or generation.revoked:
                    self.take_back(log.partition.partition, "lost", keep=True)
                self.process.poll(log, 50, 0)
            self.process.start()
            while self.process.workers:
                self.process.work(self.process.workers[0])
            self.process.merge()
            while self.process.post.waiting:
                self.note_arrival(self.process.post.answer(0))
            self.now += 100.0
            self.commit("applied", with_running=True)
            while self.process.answers:
                self.answer()
            if self.is_at_rest():
                return

    def nothing_is_left(self) -> None:
        for generation in self.process.generations:
            assert (generation.held, generation.held_bytes, generation.emitting) == (0, 0, 0)
            assert not generation.ledger.pending
            assert not generation.unacknowledged
            assert not generation.troubles
            assert not any(lane.load for lane in generation.virtual_partitions)
        assert all(map(self.is_committed, self.logs))

    # -- pieces ------------------------------------------------------------------------------

    def log(self, which: int) -> Log:
        return self.logs[which % len(self.logs)]

    def current(self, which: int) -> Generation | None:
        return self.process.scheduler.generations.get(self.log(which).partition)

    def assign(self, partition: Place) -> None:
        self.process.assign(self.log(partition.partition), self.committed.get(partition))
        if self.process.stopped:
            self.process.stop()

    def store(self, commits: list[Commit], fate: str) -> CommitResult:
        if fate != "refused":
            self.committed |= {commit.partition: commit for commit in commits}
        return CommitResult(commits, None if fate == "applied" else fate)

    def note_arrival(self, message: Message) -> None:
        """A record is delivered when all that it emitted is."""
        if message.topic == DEAD:
            return
        place, offset = source(message)
        self.arrived[place, offset] += 1
        if self.arrived[place, offset] >= self.emits[place, offset]:
            self.write(Delivered(self.now, place, offset))

    def note_burial(self, letter: Message) -> None:
        """A dead letter was written."""
        told = {name: (value or b"").decode() for name, value in letter.headers}
        source = Place(told[headers.DEAD_TOPIC], int(told[headers.DEAD_PARTITION]))
        record, order = self.sent[source, int(told[headers.DEAD_OFFSET])]
        same = (letter.key, letter.value) == (record.key, record.value)
        self.letters += 1
        self.write(
            Buried(
                self.now,
                f"p{self.lives}",
                source,
                record.offset,
                order,
                Place(DEAD, letter.partition or 0),
                self.letters,
                int(told[headers.DEAD_ATTEMPTS]),
                told[headers.DEAD_ERROR],
                None if same else "record",
            )
        )

    def is_at_rest(self) -> bool:
        """Records that were compacted away may still be in memory, and run."""
        return all(map(self.is_committed, self.logs)) and not any(
            generation.ledger.pending or generation.backlog
            for generation in self.process.generations
        )

    def is_committed(self, log: Log) -> bool:
        if not log.records:
            return True
        committed = self.committed.get(log.partition)
        return committed is not None and committed.offset > log.records[-1].offset


def unsettled_here(lane: VirtualPartition, running: dict[Slice, None]) -> list[Record]:
    """Records that wait in a virtual partition or run in it."""
    waiting = [record for line in lane._lines.values() for record in line]
    for piece in running:
        if piece.lane is lane:
            waiting += piece.records[piece.merged :]
    return waiting


def parked_here(lane: VirtualPartition) -> list[Record]:
    return [record for line in lane._parked.values() for record in line]


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(
    max_examples=max(500, settings().max_examples), stateful_step_count=100
)
