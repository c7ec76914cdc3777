"""The ledger: which offsets are complete, and what may be committed."""

import pytest

from streamjobs.engine import completion_map
from streamjobs.engine.ledger import Ledger


def ledger(*registered: int, frontier: int = 0) -> Ledger:
    made = Ledger(frontier)
    made.register(registered)
    return made


def test_the_frontier_moves_over_what_is_complete() -> None:
    ours = ledger(0, 1, 2)
    ours.complete([0, 1])
    assert (ours.frontier, ours.pending) == (2, 1)


def test_the_frontier_waits_for_the_slowest() -> None:
    ours = ledger(0, 1, 2)
    ours.complete([1, 2])
    assert ours.frontier == 0
    ours.complete([0])
    assert ours.frontier == 3


def test_what_is_complete_above_the_frontier_is_known() -> None:
    ours = ledger(0, 1, 2, 3)
    ours.complete([1, 3])
    assert list(ours.runs()) == [(1, 1), (3, 1)]
    assert [ours.is_complete(offset) for offset in range(4)] == [False, True, False, True]


def test_gaps_in_the_log_hold_nothing_back() -> None:
    ours = ledger(0, 3, 9)
    ours.complete([0, 3, 9])
    assert ours.frontier == 10


def test_a_gap_of_any_size_costs_nothing_when_nothing_is_open() -> None:
    ours = ledger(0)
    ours.complete([0])
    ours.register([10**15])
    assert ours.frontier == 10**15


def test_an_offset_seen_before_is_left_out() -> None:
    ours = ledger(0, 1, 2)
    assert list(ours.register([1, 2, 3])) == [3]


def test_offsets_that_a_map_says_are_complete_do_not_run_again() -> None:
    ours = Ledger(5, [(6, 2), (9, 1)])
    assert list(ours.register([5, 6, 7, 8, 9, 10])) == [5, 8, 10]
    ours.complete([5])
    assert ours.frontier == 8


def test_a_map_that_begins_below_the_frontier_counts_from_the_frontier_on() -> None:
    assert Ledger(5, [(3, 4)]).frontier == 7


def test_the_frontier_begins_where_the_group_had_got_to() -> None:
    assert Ledger(41).freeze() == (41, "")


def test_frozen_says_the_frontier_and_the_map_of_one_moment() -> None:
    ours = ledger(0, 1, 2, 3)
    ours.complete([0, 2])

    frontier, metadata = ours.freeze()

    assert frontier == 1
    assert completion_map.decode(frontier, metadata).runs == [(2, 1)]


def test_a_record_behind_a_gap_of_any_size_fits_when_nothing_is_pending() -> None:
    assert Ledger(0).fits([10**15]) == 1


def test_records_that_no_map_could_tell_apart_are_taken_one_after_the_other() -> None:
    assert Ledger(0).fits([0, completion_map.MAX_SPAN]) == 1


def test_a_gap_of_any_size_behind_a_map_costs_nothing() -> None:
    ours = Ledger(5, [(7, 3)])
    ours.register([10**15])
    assert ours.freeze() == (10**15, "")


@pytest.mark.parametrize("step", [1, 2, 100, 10_000])
def test_what_fits_may_complete_in_any_order_although_nothing_was_pending(step: int) -> None:
    ours = Ledger(0)
    offered = range(0, 100_000 * step, step)
    taken = offered[: ours.fits(offered)]
    ours.register(taken)

    ours.complete(taken[1::2])

    frontier, metadata = ours.freeze()
    assert len(metadata) <= completion_map.METADATA_CHARACTERS
    assert completion_map.decode(frontier, metadata).runs == list(ours.runs())


def test_whatever_completes_the_map_of_what_fits_can_be_written() -> None:
    ours = ledger(0)
    offered = range(1, 200_000)
    taken = offered[: ours.fits(offered)]
    ours.register(taken)

    ours.complete(taken[::2])  # the worst there is: every other one

    _, metadata = ours.freeze()
    assert 50_000 < len(taken) < len(offered)
    assert len(metadata) <= completion_map.METADATA_CHARACTERS


def test_a_long_life_does_not_grow_the_ledger() -> None:
    ours = Ledger(0)
    for start in range(0, 1_000_000, 10_000):
        ours.register(range(start, start + 10_000))
        ours.complete(range(start, start + 10_000))
    assert ours.frontier == 1_000_000
    assert len(ours._done) < 200_000


def test_nothing_registered_is_nothing_pending() -> None:
    assert Ledger(7).pending == 0
