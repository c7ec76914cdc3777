"""The scheduler: what may run now, and what becomes of results."""

from typing import Any

from streamjobs.broker.ports import Message
from streamjobs.engine.effects import Effects
from streamjobs.engine.failure import Backoff
from streamjobs.errors import UndecodableRecordError
from streamjobs.partitioning import virtual_partition_for
from streamjobs.policies import VirtualPartitions
from streamjobs.record import Record
from tests.support.engine import P0, Desk, carry_out, offsets, record

TWO = VirtualPartitions(2)
A, B, C = [key for key in map(b"%d".__mod__, range(100)) if not virtual_partition_for(key, 2)][:3]
"""Keys of one virtual partition."""

FAILED = ConnectionError("once")


def test_different_keys_run_at_the_same_time() -> None:
    desk = Desk(VirtualPartitions(4, distribution="balanced"))
    desk.accept(b"a", b"b", b"c")
    assert sorted(desk.started()) == [[0], [1], [2]]


def test_one_key_runs_one_record_at_a_time() -> None:
    desk = Desk()
    desk.accept(b"a", b"a")
    (first,) = desk.start()
    assert desk.started() == []
    desk.finish(first)
    assert desk.started() == [[1]]


def test_a_key_runs_in_its_order() -> None:
    desk = Desk()
    desk.accept(b"a", b"a", b"a", b"a")
    assert desk.run_all() == [0, 1, 2, 3]


def test_no_more_slices_start_than_workers_are_free() -> None:
    desk = Desk(VirtualPartitions(4, distribution="balanced"))
    desk.accept(b"a", b"b", b"c")
    assert len(desk.start(free=2)) == 2


def test_what_is_done_is_complete() -> None:
    desk = Desk()
    desk.accept(b"a")
    desk.run_all()
    assert desk.generation.ledger.frontier == 1
    assert (desk.generation.held, desk.generation.held_bytes) == (0, 0)


# Failures.


def test_a_failed_record_comes_again_after_its_pause() -> None:
    desk = Desk(failures=Backoff(first=5))
    desk.accept(b"a")
    desk.finish(desk.start()[0], failing={0: FAILED}, now=100)

    desk.scheduler.wake(104.9)
    assert desk.started() == []
    desk.scheduler.wake(105)
    (again,) = desk.start()

    assert again.attempt(0) == 2
    assert desk.told.failed_offsets == [0]


def test_the_pause_is_known_beforehand() -> None:
    desk = Desk(failures=Backoff(first=5))
    desk.accept(b"a")
    assert desk.scheduler.next_timer() is None
    desk.finish(desk.start()[0], failing={0: FAILED}, now=100)
    assert desk.scheduler.next_timer() == 105


def test_a_failing_key_holds_back_itself_only() -> None:
    desk = Desk(TWO)
    desk.accept(A, B, A, B)
    desk.finish(desk.start()[0], failing={0: FAILED})
    assert desk.run_all() == [1, 3]


def test_what_stands_behind_a_failure_in_the_same_slice_does_not_run() -> None:
    desk = Desk(TWO, slice_size=10)
    desk.accept(A, A, B)
    (piece,) = desk.start()

    desk.finish(piece, failing={0: FAILED})

    assert piece.skipped == {1}
    assert desk.told.settled_offsets == [2]


def test_a_key_that_failed_goes_on_in_its_order() -> None:
    desk = Desk(TWO, slice_size=10)
    desk.accept(A, A, A)
    desk.finish(desk.start()[0], failing={1: FAILED})
    desk.scheduler.wake(1000)
    assert desk.run_all() == [1, 2]
    assert desk.told.settled_offsets == [0, 1, 2]


def test_a_single_virtual_partition_keeps_the_order_of_all_records() -> None:
    desk = Desk(VirtualPartitions(1))
    desk.accept(b"a", b"b", None, b"a")
    desk.finish(desk.start()[0], failing={0: FAILED})
    assert desk.started() == []
    desk.scheduler.wake(1000)
    assert desk.run_all() == [0, 1, 2, 3]


def test_by_virtual_partition_a_failure_holds_back_all_of_it() -> None:
    desk = Desk(VirtualPartitions(2, ordering="virtual_partition"))
    desk.accept(A, B)
    desk.finish(desk.start()[0], failing={0: FAILED})
    assert desk.started() == []


def test_without_order_a_failure_holds_back_nothing() -> None:
    desk = Desk(VirtualPartitions(1, ordering="none"))
    desk.accept(b"a", b"a", b"a")
    desk.finish(desk.start()[0], failing={0: FAILED})
    assert desk.run_all() == [1, 2]


def test_a_record_that_cannot_be_decoded_is_discarded_and_its_key_goes_on() -> None:
    desk = Desk()
    desk.accept(b"a", b"a")
    desk.finish(desk.start()[0], failing={0: UndecodableRecordError("no JSON")})
    assert desk.told.discarded_offsets == [0]
    assert desk.run_all() == [1]
    assert desk.generation.ledger.frontier == 2


def test_a_raising_partitioner_fails_its_record_alone() -> None:
    def picky(each: Record) -> bytes:
        if each.offset == 1:
            raise ValueError
        return b"a"

    desk = Desk(ordering_key=picky)
    desk.accept(None, None, None)
    assert desk.run_all() == [0, 1, 2]
    assert desk.told.discarded_offsets == [1]
    assert desk.told.settled_offsets == [0, 2]
    assert desk.generation.ledger.frontier == 3


# Partitions come and go.


def test_a_record_delivered_again_does_not_run_again() -> None:
    desk = Desk()
    desk.accept(b"a")
    desk.run_all()
    desk.scheduler.accept(desk.generation, [record(0, b"a")])
    assert desk.started() == []
    assert desk.told.left_out_offsets == [0]


def test_what_the_map_says_is_complete_does_not_run() -> None:
    desk = Desk()
    desk.scheduler.drop(desk.generation)
    desk.generation = desk.scheduler.assign(P0, 0, [(1, 1)])
    desk.accept(b"a", b"b", b"c")
    assert sorted(desk.run_all()) == [0, 2]


def test_results_of_a_generation_that_has_gone_are_ignored() -> None:
    desk = Desk()
    desk.accept(b"a")
    (piece,) = desk.start()
    desk.scheduler.drop(desk.generation)

    desk.finish(piece)

    assert desk.told.stale_offsets == [0]
    assert desk.generation.ledger.frontier == 0


def test_a_key_that_still_runs_in_the_old_generation_waits_in_the_new_one() -> None:
    desk = Desk(VirtualPartitions(64))
    desk.accept(b"a", b"b")
    pieces = desk.start()
    old = next(piece for piece in pieces if offsets(piece.records) == [0])
    desk.scheduler.drop(desk.generation)
    desk.generation = desk.scheduler.assign(P0, 0)
    desk.finish(next(piece for piece in pieces if piece is not old))

    desk.scheduler.accept(desk.generation, [record(0, b"a"), record(1, b"b")])
    assert desk.started() == [[1]]

    desk.finish(old)
    assert desk.started() == [[0]]


def test_a_revoked_generation_starts_nothing_more() -> None:
    desk = Desk()
    desk.accept(b"a")
    desk.generation.revoke()
    assert desk.started() == []


def test_a_slice_ends_early_when_its_partition_goes_away() -> None:
    desk = Desk(TWO, slice_size=10)
    desk.accept(A, B, C)
    (piece,) = desk.start()
    carry_out(piece, limit=1)
    desk.generation.revoke()

    desk.finish(piece)

    assert desk.told.settled_offsets == [0]
    assert desk.generation.ledger.pending == 2


# Effects, and slices that are not through yet.


def test_a_record_with_effects_is_complete_when_they_are_acknowledged() -> None:
    desk = Desk()
    desk.accept(b"a")
    (piece,) = desk.start()
    effects = Effects()
    effects.emits.append(Message("out", b""))
    carry_out(piece, effects={0: effects})
    desk.scheduler.finish(piece, 0, desk.keep)
    assert (desk.kept, desk.generation.ledger.frontier) == ([0], 0)

    desk.scheduler.complete(desk.generation, [0])

    assert desk.generation.ledger.frontier == 1


def test_effects_of_a_failed_attempt_are_not_kept() -> None:
    desk = Desk()
    desk.accept(b"a")
    desk.finish(desk.start()[0], failing={0: FAILED})
    assert desk.kept == []


def test_a_slow_record_does_not_hold_back_the_commit_of_those_before_it() -> None:
    desk = Desk(TWO, slice_size=10)
    desk.accept(A, B, C)
    (piece,) = desk.start()
    carry_out(piece, limit=2)

    desk.scheduler.harvest(piece, desk.keep)

    assert desk.generation.ledger.frontier == 2


def test_what_was_harvested_is_not_settled_twice() -> None:
    desk = Desk(TWO, slice_size=10)
    desk.accept(A, B)
    (piece,) = desk.start()
    piece.succeed(0, None)
    desk.scheduler.harvest(piece, desk.keep)
    piece.succeed(1, None)

    desk.scheduler.finish(piece, 0, desk.keep)

    assert desk.told.settled_offsets == [0, 1]
    assert desk.generation.held == 0


def test_what_does_not_fit_into_the_map_waits_outside() -> None:
    desk: Any = Desk()
    desk.accept(b"stuck")
    desk.start()
    desk.accept(*[None] * 100_000)
    assert 0 < len(desk.generation.backlog) < 100_000


def test_a_record_delivered_again_does_not_let_others_slip_past_a_full_map() -> None:
    desk: Any = Desk()
    desk.accept(b"stuck")
    desk.start()
    desk.accept(*[None] * 100_000)
    waiting = offsets(desk.generation.backlog)

    desk.scheduler.accept(desk.generation, [record(0, b"stuck"), desk.generation.backlog[0]])

    assert offsets(desk.generation.backlog) == waiting
    assert desk.told.left_out_offsets == [0, waiting[0]]


def test_what_a_record_has_failed_is_known_when_one_before_it_runs_again() -> None:
    """A worker process died with the second one, and had not told of the first."""
    desk = Desk(TWO, slice_size=10)
    desk.accept(A, A)
    (piece,) = desk.start()
    piece.failures[1] = FAILED
    desk.scheduler.finish(piece, 0.0, desk.keep)
    desk.scheduler.wake(1000)

    (first,) = (desk.scheduler.start_one(desk.generation, piece.lane, A),)
    desk.finish(first)
    (second,) = desk.start()

    assert offsets(second.records) == [1]
    assert second.attempt(0) == 2
