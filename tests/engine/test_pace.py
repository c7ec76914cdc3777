"""Pace: how many records make one slice."""

import pytest

from streamjobs.engine.pace import LIMIT, SLICE_SECONDS, Pace


def pace(seconds_each: float, slices: int = 50) -> Pace:
    """After that many slices of records that take so long."""
    made = Pace()
    for _ in range(slices):
        made.observe(made.limit, made.limit * seconds_each)
    return made


def test_it_starts_with_single_records() -> None:
    assert Pace().limit == 1


def test_it_at_most_doubles() -> None:
    assert [pace(0, slices).limit for slices in range(4)] == [1, 2, 4, 8]


def test_quick_records_make_long_slices() -> None:
    assert pace(1e-7).limit == LIMIT


def test_slow_records_stay_alone() -> None:
    assert pace(0.01).limit == 1


def test_a_slice_takes_about_as_long_as_it_should() -> None:
    assert pace(SLICE_SECONDS / 10).limit == pytest.approx(10, abs=1)


def test_records_that_turn_slow_make_slices_short_again() -> None:
    ours = pace(1e-7)
    for _ in range(3):
        ours.observe(ours.limit, ours.limit * 0.1)
    assert ours.limit == 1


def test_a_slice_in_which_nothing_ran_says_nothing() -> None:
    ours = Pace()
    ours.observe(0, 5.0)
    assert ours.limit == 1
