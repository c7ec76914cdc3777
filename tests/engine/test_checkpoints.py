"""When checkpoints come, what they wait for, and what waits for them."""

from collections.abc import Mapping, Sequence

import pytest

from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Message
from streamjobs.engine.checkpoint import Checkpoint
from streamjobs.engine.checkpoints import ACKNOWLEDGED_WITHIN, Checkpoints
from streamjobs.engine.due import Due
from streamjobs.engine.effects import Effects
from streamjobs.engine.events import Events
from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Frozen
from streamjobs.engine.limits import Limits
from streamjobs.engine.outbox import Outbox
from streamjobs.engine.scheduler import Scheduler
from streamjobs.engine.transaction import TransactionalProducer
from streamjobs.record import Record
from streamjobs.state.cache import ENTRY_BYTES, WriteBackCache
from streamjobs.state.memory import MemoryStores
from tests.support.engine import P0, TOPIC, record, route
from tests.support.members import Member

BOTH = pytest.mark.parametrize("exactly_once", [True, False])


class Desk:
    """One partition with a store whose checkpoints come every second, one change a turn."""

    def __init__(self, *, exactly_once: bool = True, **limits: int) -> None:
        self.now = 0.0
        self.aborts: list[str] = []
        self.cluster = MemoryCluster({TOPIC: 1, "out": 1, "changes": 1}, blocking=False)
        self.broker = MemoryBroker(self.cluster)
        self.plain = MemoryBroker(self.cluster)
        checkpoint = Checkpoint(
            lambda: self.broker.transactions("id", 10.0, {}), clock=lambda: self.now, piece=1
        )
        routes = {TOPIC: route(changelogs={"default": "changes"}, transactional=exactly_once)}
        self.scheduler = Scheduler(routes, Events())
        producer = TransactionalProducer(checkpoint.transaction)
        self.outbox = Outbox(
            producer if exactly_once else self.plain.producer({}), self.complete, self.undelivered
        )
        member = Member(self.broker, "group", TOPIC)
        member.poll()
        self.checkpoints = Checkpoints(
            checkpoint,
            self.scheduler,
            self.outbox,
            Due(Limits(commit_interval=1.0, **limits), self.now),
            lambda: self.now,
            exactly_once,
            member.consumer.group_metadata,
            self.take_committed,
            self.abort,
        )
        self.generation = self.scheduler.assign(P0, 0)
        store = MemoryStores("group").open(TOPIC, 0, "default")
        self.cache = self.generation.stores["default"] = WriteBackCache(store)

    def merge(self, count: int = 1, emits: bool = True) -> None:
        """So many records change a key each, and emit."""
        for _ in range(count):
            offset = self.generation.ledger.next
            self.generation.ledger.register([offset])
            effects = Effects()
            self.cache.merge({b"%d" % offset: b"1"})
            if emits:
                effects.emits.append(Message("out", b"%d" % offset))
            key = b"%d" % offset
            self.outbox.keep(self.generation, key, record(offset, key), effects)

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.outbox.poll()
            self.checkpoints.turn(self.now)

    def take_committed(self, frozen: Mapping[Generation, Frozen]) -> None:
        for generation, progress in frozen.items():
            generation.committed = progress

    def complete(self, generation: Generation, offsets: Sequence[int]) -> None:
        self.scheduler.complete(generation, offsets)

    def undelivered(self, generation: Generation, of: Record, error: str) -> None:
        generation.doomed = True

    def abort(self, reason: str) -> None:
        self.checkpoints.abort()
        self.aborts.append(reason)

    @property
    def committed(self) -> int | None:
        found = self.cluster.committed("group", TOPIC, 0)
        return None if found is None else found.offset

    @property
    def emitted(self) -> list[bytes | None]:
        """What readers of committed records find."""
        log = self.cluster.log("out", 0)
        return [each.value for each in log.records if each.offset < log.stable]


# When.


def test_one_comes_when_its_time_is_over() -> None:
    desk = Desk()
    desk.merge()
    desk.turn(5)
    assert desk.committed is None
    desk.now = 1.0
    desk.turn(5)
    assert desk.committed == 1


def test_one_comes_after_many_records() -> None:
    desk = Desk(commit_records=10)
    desk.merge()
    desk.checkpoints._due.count(9)
    desk.turn(5)
    assert desk.committed is None
    desk.checkpoints._due.count(1)
    desk.turn(5)
    assert desk.committed == 1
    desk.merge()
    desk.turn(5)
    assert desk.committed == 1, "it counts anew"


def test_one_comes_after_many_bytes_of_changes() -> None:
    desk = Desk(commit_bytes=3 * ENTRY_BYTES)
    desk.merge(2)
    desk.turn(5)
    assert desk.committed is None
    desk.merge(2)
    desk.turn(20)
    assert desk.committed == 4


# What it waits for.


@BOTH
def test_nothing_is_merged_while_the_cut_waits_for_what_was_emitted(exactly_once: bool) -> None:
    desk = Desk(exactly_once=exactly_once)
    desk.merge()
    desk.now = 1.0
    for broker in (desk.broker, desk.plain):
        broker.faults.answers_held = True
    desk.turn(3)
    assert not desk.checkpoints.may_merge
    assert not desk.checkpoints.under_way

    for broker in (desk.broker, desk.plain):
        broker.faults.answers_held = False
    desk.turn(5)
    assert desk.checkpoints.may_merge
    assert desk.committed == 1


def test_what_does_not_arrive_in_time_is_given_up() -> None:
    desk = Desk()
    desk.merge()
    desk.broker.faults.answers_held = True
    desk.now = 1.0
    desk.turn()
    desk.now = 1.0 + ACKNOWLEDGED_WITHIN
    desk.turn()
    assert desk.aborts == ["what was emitted is not acknowledged"]
    assert desk.checkpoints.may_merge


# What waits for it.


def under_way(desk: Desk) -> None:
    """A checkpoint of three records has cut, and needs further turns."""
    desk.merge(3)
    desk.now = 1.0
    desk.turn()
    assert desk.checkpoints.under_way
    assert desk.committed is None


@BOTH
def test_merging_goes_on_while_it_is_written(exactly_once: bool) -> None:
    desk = Desk(exactly_once=exactly_once)
    under_way(desk)
    assert desk.checkpoints.may_merge


def test_with_exactly_once_later_emits_are_not_in_its_transaction() -> None:
    desk = Desk()
    under_way(desk)
    desk.merge()
    desk.turn(20)
    assert (desk.committed, desk.emitted) == (3, [b"0", b"1", b"2"])
    desk.now = 2.0
    desk.turn(20)
    assert (desk.committed, desk.emitted) == (4, [b"0", b"1", b"2", b"3"])


def test_with_at_least_once_later_emits_are_sent_at_once() -> None:
    desk = Desk(exactly_once=False)
    under_way(desk)
    desk.merge()
    desk.turn()
    assert desk.committed is None
    assert desk.emitted == [b"0", b"1", b"2", b"3"]


def test_what_completes_after_the_cut_is_not_in_its_progress() -> None:
    desk = Desk()
    under_way(desk)
    desk.merge(emits=False)
    assert desk.generation.ledger.frontier == 4
    desk.turn(20)
    assert desk.committed == 3
    assert desk.cache.store.get(b"3") is None


def test_no_more_is_merged_than_memory_is_there_for() -> None:
    desk = Desk(commit_bytes=3 * ENTRY_BYTES)
    under_way(desk)
    desk.merge(4)
    assert not desk.checkpoints.may_merge
    desk.turn(20)
    assert desk.checkpoints.may_merge


# When partitions go.


@BOTH
def test_one_under_way_ends_before_the_last_one(exactly_once: bool) -> None:
    desk = Desk(exactly_once=exactly_once)
    under_way(desk)
    desk.merge(2)
    desk.checkpoints.last([desk.generation])
    assert not desk.aborts
    assert (desk.committed, len(desk.emitted)) == (5, 5)
    assert not desk.checkpoints.under_way
    assert len(desk.cache.store.items(None, 10)) == 5


@BOTH
def test_one_that_has_cut_a_partition_that_is_lost_is_aborted(exactly_once: bool) -> None:
    desk = Desk(exactly_once=exactly_once)
    under_way(desk)
    desk.checkpoints.flush()
    desk.checkpoints.lost()
    assert desk.aborts == ["partitions were lost"]
    desk.turn(20)
    assert desk.committed is None


def test_what_is_committed_of_a_partition_that_is_lost_reaches_its_store() -> None:
    desk = Desk(exactly_once=False)
    under_way(desk)
    while desk.committed is None:
        desk.turn()
    assert desk.checkpoints.under_way
    desk.checkpoints.flush()
    desk.checkpoints.lost()
    assert not desk.aborts
    assert len(desk.cache.store.items(None, 10)) == 3


def test_one_whose_commit_fails_is_aborted_and_what_was_held_is_let_go() -> None:
    desk = Desk()
    under_way(desk)
    desk.merge()
    desk.broker.faults.transactions_refused = 1
    desk.turn(20)
    assert len(desk.aborts) == 1
    assert (desk.committed, desk.emitted) == (None, [])
    assert not desk.checkpoints.under_way


def test_a_partition_whose_emits_did_not_arrive_is_in_no_checkpoint() -> None:
    desk = Desk(exactly_once=False)
    desk.plain.faults.sends_refused = 1
    desk.merge(2)
    desk.now = 1.0
    desk.turn(20)
    assert desk.generation.doomed
    assert (desk.committed, desk.aborts) == (None, [])
