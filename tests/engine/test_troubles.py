"""Records that failed for good: who waits for them, and what happens when they are buried."""

import time
from collections import deque
from typing import Any

from streamjobs.broker.memory import MemoryBroker, MemoryCluster, MemoryProducer
from streamjobs.broker.ports import Delivery, Message
from streamjobs.engine.effects import Effects, Waiting
from streamjobs.engine.failure import (
    BLOCK,
    DISCARD,
    STOP,
    Bury,
    Failure,
    Failures,
    Park,
    Verdict,
)
from streamjobs.engine.notes import Attempts, Notes
from streamjobs.engine.outbox import Outbox
from streamjobs.engine.scheduler import Scheduler
from streamjobs.engine.troubles import Burial
from streamjobs.errors import DeliveryError
from streamjobs.partitioning import virtual_partition_for
from streamjobs.policies import VirtualPartitions
from tests.support.engine import P0, Desk, offsets, record

TWO = VirtualPartitions(2)
A, B, C = [key for key in map(b"%d".__mod__, range(100)) if not virtual_partition_for(key, 2)][:3]
"""Keys of one virtual partition."""

NO = ValueError("no")


class Judge(Failures):
    """Gives each failing record the same verdict."""

    def __init__(self, verdict: Verdict | None = None) -> None:
        self.verdict = verdict
        self.failures: list[Failure] = []

    def decide(self, failure: Failure) -> Verdict:
        self.failures.append(failure)
        if self.verdict is not None:
            return self.verdict
        return Bury(Message("dead", b"letter of %d" % failure.record.offset))


def burying(policy: VirtualPartitions = TWO, **others: Any) -> Desk:
    """A desk where whoever fails is to be buried."""
    return Desk(policy, failures=Judge(), **others)


def fail(desk: Desk, *failing: int) -> None:
    """Start the next slice; these records of it fail."""
    desk.finish(desk.start(1)[0], failing=dict.fromkeys(failing, NO))


def burials(desk: Desk) -> list[Burial]:
    return desk.scheduler.troubles.take_burials()


def bury(desk: Desk) -> None:
    """All letters that are to be sent arrive."""
    for burial in burials(desk):
        desk.scheduler.buried(burial, 0, desk.keep)


# Parked keys.


def test_what_waits_behind_a_failed_record_is_no_load() -> None:
    desk = Desk(TWO, failures=Judge(Park(5)))
    desk.accept(A, A, A, B)
    [lane] = {desk.generation.home(key) for key in (A, B)}
    fail(desk, 0)
    assert lane.load == 1  # what b has
    desk.accept(A)
    assert lane.load == 1
    desk.scheduler.wake(5)
    assert lane.load == 5


def test_the_first_failure_is_remembered() -> None:
    judge, now = Judge(Park(1)), [100.0]
    desk = Desk(TWO, failures=judge)
    desk.scheduler = Scheduler(desk.scheduler._routes, desk.told, lambda: now[0])
    desk.generation = desk.scheduler.assign(desk.generation.partition, 0)
    desk.accept(A)
    for moment in (100.0, 150.0, 170.0):
        now[0] = moment
        desk.scheduler.wake(moment)
        desk.finish(desk.start()[0], failing={0: NO}, now=moment)
    assert [(each.attempt, each.first, each.now) for each in judge.failures] == [
        (1, 100, 100),
        (2, 100, 150),
        (3, 100, 170),
    ]


def test_the_next_record_of_the_key_begins_to_count_anew() -> None:
    judge = Judge(Park(1))
    desk = Desk(TWO, failures=judge)
    desk.accept(A, A)
    fail(desk, 0)
    desk.scheduler.wake(10)
    desk.finish(desk.start()[0])
    fail(desk, 1)
    assert [(each.record.offset, each.attempt) for each in judge.failures] == [(0, 1), (1, 1)]


# Dead letters.


def test_a_dead_letter_holds_its_key_until_it_is_acknowledged() -> None:
    desk = burying()
    desk.accept(A, A, B)
    fail(desk, 0)
    desk.scheduler.wake(1e9)
    assert desk.run_all() == [2]
    assert desk.generation.ledger.frontier == 0

    bury(desk)

    assert desk.generation.ledger.frontier == 1
    assert desk.told.dead_offsets == [0]
    assert desk.run_all() == [1]


def test_a_record_that_is_buried_is_held_no_longer() -> None:
    desk = burying()
    desk.accept(A)
    fail(desk, 0)
    bury(desk)
    assert (desk.generation.held, desk.generation.held_bytes) == (0, 0)
    assert not desk.generation.troubles


def test_each_letter_is_handed_out_once() -> None:
    desk = burying()
    desk.accept(A)
    fail(desk, 0)
    assert [each.letter.value for each in burials(desk)] == [b"letter of 0"]
    assert burials(desk) == []


def test_the_letters_of_a_key_are_sent_one_after_another() -> None:
    desk = burying(slice_size=10)
    desk.accept(A, A, A)
    seen = []
    for offset in range(3):
        fail(desk, offset)
        [burial] = burials(desk)
        seen.append(burial.letter.value)
        assert desk.started() == []
        desk.scheduler.buried(burial, 0, desk.keep)
    assert seen == [b"letter of 0", b"letter of 1", b"letter of 2"]


def test_one_virtual_partition_bound_in_a_balanced_way_is_free_after_the_burial() -> None:
    desk = burying(VirtualPartitions(2, distribution="balanced"))
    desk.accept(A)
    fail(desk, 0)
    bury(desk)
    desk.accept(A)
    assert desk.run_all() == [1]


def test_a_letter_stands_behind_what_its_key_has_not_delivered_yet() -> None:
    desk = burying(slice_size=10)
    desk.accept(A, A)
    [piece] = desk.start()
    piece.succeed(0, Effects())
    piece.fail(1, NO)
    desk.generation.unacknowledged[A] = deque([Waiting(record(9), 1)])
    desk.scheduler.finish(piece, 0, desk.keep)
    bury(desk)
    assert desk.kept == [0, 1]
    assert desk.generation.ledger.frontier == 0


def test_a_letter_of_a_generation_that_is_over_changes_nothing() -> None:
    desk = burying()
    desk.accept(A)
    fail(desk, 0)
    [burial] = burials(desk)
    desk.scheduler.drop(desk.generation)
    new = desk.scheduler.assign(desk.generation.partition, 0)

    desk.scheduler.buried(burial, 0, desk.keep)
    desk.scheduler.unburied(burial, "refused", 0)

    assert (new.ledger.frontier, desk.told.dead_offsets, desk.told.unburied_pauses) == (0, [], [])


def test_what_fails_after_its_partition_has_gone_is_not_judged() -> None:
    desk = burying()
    desk.accept(A)
    [piece] = desk.start()
    desk.scheduler.drop(desk.generation)
    desk.finish(piece, failing={0: NO})
    assert burials(desk) == []


# Letters that do not arrive.


def test_a_refused_letter_is_sent_again_with_growing_pauses() -> None:
    desk = burying()
    desk.accept(A)
    fail(desk, 0)
    now = 0.0
    for _ in range(9):
        [burial] = burials(desk)
        desk.scheduler.unburied(burial, "refused", now)
        due = desk.scheduler.next_timer()
        assert due is not None
        desk.scheduler.wake(due - 0.01)
        assert burials(desk) == []
        desk.scheduler.wake(due)
        now = due
    assert desk.told.unburied_pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_its_record_is_not_attempted_again_meanwhile() -> None:
    desk = burying()
    desk.accept(A, A)
    fail(desk, 0)
    desk.scheduler.unburied(burials(desk)[0], "refused", 0)
    desk.scheduler.wake(1)
    assert desk.started() == []


def test_the_others_go_on_while_letters_are_refused() -> None:
    desk = burying()
    desk.accept(A, B, C, B)
    fail(desk, 0)
    desk.scheduler.unburied(burials(desk)[0], "refused", 0)
    assert sorted(desk.run_all()) == [1, 2, 3]


def test_it_arrives_in_the_end() -> None:
    desk = burying()
    desk.accept(A, A)
    fail(desk, 0)
    desk.scheduler.unburied(burials(desk)[0], "refused", 0)
    desk.scheduler.wake(0.5)
    bury(desk)
    assert desk.told.dead_offsets == [0]
    assert desk.run_all() == [1]


def test_a_letter_that_the_producer_does_not_take_counts_as_refused() -> None:
    class Full(MemoryProducer):
        def send(self, message: Message, done: object = None) -> None:
            raise DeliveryError("the queue is full")

    answers: list[Delivery] = []
    desk = burying()
    desk.accept(A)
    fail(desk, 0)
    broker = MemoryBroker(MemoryCluster())
    outbox = Outbox(Full(broker._cluster, broker._process), lambda *_: None, lambda *_: None)

    outbox.bury(burials(desk)[0], lambda _, delivery: answers.append(delivery))

    assert [each.error for each in answers] == ["the queue is full"]
    assert desk.generation.emitting == 0


# Other outcomes.


def test_a_discarded_record_is_over_at_once() -> None:
    desk = Desk(TWO, failures=Judge(DISCARD))
    desk.accept(A, A)
    fail(desk, 0)
    assert desk.told.discarded_offsets == [0]
    assert desk.run_all() == [1]
    assert desk.generation.ledger.frontier == 2


def test_a_blocked_record_holds_its_key_for_good_and_no_other() -> None:
    desk = Desk(TWO, failures=Judge(BLOCK))
    desk.accept(A, B, A)
    fail(desk, 0)
    desk.scheduler.wake(1e12)
    assert desk.run_all() == [1]
    assert desk.scheduler.next_timer() is None
    assert desk.told.blocked_offsets == [0]


def test_it_is_attempted_again_under_the_next_owner() -> None:
    desk = Desk(TWO, failures=Judge(BLOCK))
    desk.accept(A)
    fail(desk, 0)
    desk.scheduler.drop(desk.generation)
    desk.generation = desk.scheduler.assign(desk.generation.partition, 0)
    desk.scheduler.accept(desk.generation, [record(0, A)])
    assert desk.run_all() == [0]


def test_a_record_for_which_the_app_stops_is_not_over() -> None:
    desk = Desk(TWO, failures=Judge(STOP))
    desk.accept(A, A)
    fail(desk, 0)
    assert desk.scheduler.troubles.fatal is NO
    assert desk.generation.ledger.frontier == 0
    assert desk.started() == []


def test_the_first_reason_to_stop_is_the_reason() -> None:
    desk = Desk(TWO, failures=Judge(STOP), slice_size=10)
    desk.accept(A, B)
    [piece] = desk.start()
    desk.finish(piece, failing={0: NO, 1: KeyError("later")})
    assert offsets(piece.records) == [0, 1]
    assert desk.scheduler.troubles.fatal is NO


# Partitions that come back.


class Waits:
    def decide(self, failure: Failure) -> Verdict:
        return Park(60.0)


def test_a_pause_that_ends_does_not_start_a_key_that_runs_under_an_older_generation() -> None:
    desk = Desk(failures=Waits())
    desk.accept(b"a")
    [old] = desk.start()
    desk.scheduler.drop(desk.generation)
    noted = Notes(attempts={0: Attempts(0, 1, 0.0, time.time() + 5.0)})
    desk.generation = desk.scheduler.assign(P0, 0, (), noted)
    desk.scheduler.accept(desk.generation, [record(0, b"a")], 0.0)

    desk.scheduler.wake(10.0)
    assert desk.start() == [], "its other attempt runs"

    desk.finish(old, now=10.0)
    assert [offsets(piece.records) for piece in desk.start()] == [[0]]


def test_a_key_that_is_free_again_waits_for_the_end_of_its_pause() -> None:
    desk = Desk(failures=Waits())
    desk.accept(b"a")
    [old] = desk.start()
    desk.scheduler.drop(desk.generation)
    noted = Notes(attempts={0: Attempts(0, 1, 0.0, time.time() + 50.0)})
    desk.generation = desk.scheduler.assign(P0, 0, (), noted)
    desk.scheduler.accept(desk.generation, [record(0, b"a")], 0.0)

    desk.finish(old, now=10.0)
    assert desk.start() == []

    desk.scheduler.wake(60.0)
    assert [offsets(piece.records) for piece in desk.start()] == [[0]]


def test_a_generation_that_ended_is_not_kept_by_its_timers() -> None:
    desk = Desk(failures=Waits())
    desk.accept(b"a")
    [piece] = desk.start()
    desk.finish(piece, failing={0: ValueError()})
    assert desk.scheduler.next_timer() == 60.0
    desk.scheduler.drop(desk.generation)
    assert desk.scheduler.next_timer() is None
