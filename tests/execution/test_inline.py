"""Inline: handlers on the owner's thread. And what holds for every execution of plain functions."""

import threading
from typing import Any

import pytest

from streamjobs.engine.effects import Effects
from streamjobs.engine.slices import RUNNING, Slice
from streamjobs.execution.inline import Inline
from tests.support.engine import Arrivals, MakeSlice


def run(piece: Slice, arrivals: Arrivals) -> Slice:
    Inline(arrivals.add).start([piece])
    return arrivals.next(0)


def test_it_runs_in_the_thread_that_asked(make_slice: MakeSlice, arrivals: Arrivals) -> None:
    threads = []
    run(make_slice(lambda *_: threads.append(threading.current_thread())), arrivals)
    assert threads == [threading.current_thread()]


def test_the_records_of_a_slice_run_in_their_order(
    make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    ran: list[int] = []
    piece = run(make_slice(lambda _, index: ran.append(index), 3), arrivals)
    assert ran == [0, 1, 2]
    assert piece.progress == 3


def test_what_an_attempt_did_is_kept_by_its_record(
    make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    effects = Effects()
    piece = run(make_slice(lambda _, index: effects if index == 1 else None, 2), arrivals)
    assert piece.effects == {1: effects}


def test_an_error_fails_its_record_and_the_others_run(
    make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    def invoke(_: Slice, index: int) -> None:
        if index == 0:
            raise ConnectionError

    piece = run(make_slice(invoke, 2), arrivals)
    assert list(piece.failures) == [0]
    assert piece.progress == 2
    assert piece.fatal is None


def test_what_stands_behind_an_error_of_its_key_is_skipped(
    make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    def invoke(_: Slice, index: int) -> None:
        raise ConnectionError

    piece = run(make_slice(invoke, 3, one_key=True), arrivals)
    assert (list(piece.failures), piece.skipped) == ([0], {1, 2})


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), MemoryError()])
def test_an_error_that_is_meant_for_the_app_is_no_failure(
    make_slice: MakeSlice, arrivals: Arrivals, error: BaseException
) -> None:
    def invoke(_: Slice, index: int) -> None:
        if index == 1:
            raise error

    piece = run(make_slice(invoke, 3), arrivals)
    assert piece.fatal is error
    assert (piece.progress, piece.failures) == (1, {})


def test_nothing_starts_any_more_when_the_partition_goes_away(
    make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    def invoke(piece: Slice, _: int) -> None:
        piece.generation.revoke()

    assert run(make_slice(invoke, 3), arrivals).progress == 1


def test_the_slice_is_known_while_it_runs_and_not_afterwards(
    make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    seen: list[Any] = []
    piece = run(make_slice(lambda *_: seen.append(RUNNING.get())), arrivals)
    assert seen == [piece]
    assert RUNNING.get() is None


def test_it_measures_how_long_a_slice_took(make_slice: MakeSlice, arrivals: Arrivals) -> None:
    piece = run(make_slice(lambda *_: threading.Event().wait(0.01)), arrivals)
    assert piece.seconds >= 0.01
