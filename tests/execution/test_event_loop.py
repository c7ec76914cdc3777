"""The event loop: coroutine handlers, many at a time on one thread."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from streamjobs.engine.effects import Effects
from streamjobs.engine.slices import RUNNING, Slice
from streamjobs.execution.event_loop import EventLoop
from tests.support.engine import Arrivals, MakeSlice


@pytest.fixture
def event_loop(arrivals: Arrivals) -> Iterator[EventLoop]:
    event_loop = EventLoop(1000, arrivals.add)
    yield event_loop
    event_loop.close()


def test_many_slices_are_awaited_at_the_same_time(
    event_loop: EventLoop, make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    waiting: list[int] = []

    async def invoke(_: Slice, __: int) -> None:
        waiting.append(1)
        while len(waiting) < 500:
            await asyncio.sleep(0)

    event_loop.start([make_slice(invoke) for _ in range(500)])
    assert all(arrivals.next().progress for _ in range(500))


def test_the_records_of_a_slice_run_one_after_another(
    event_loop: EventLoop, make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    ran: list[str] = []

    async def invoke(_: Slice, index: int) -> None:
        ran.append(f"{index} starts")
        await asyncio.sleep(0)
        ran.append(f"{index} ends")

    event_loop.start([make_slice(invoke, 2)])
    arrivals.next()
    assert ran == ["0 starts", "0 ends", "1 starts", "1 ends"]


def test_slices_that_are_not_awaited_leave_it_free(
    event_loop: EventLoop, make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    hold = threading.Event()

    async def invoke(_: Slice, __: int) -> None:
        while not hold.is_set():
            await asyncio.sleep(0.001)

    event_loop.start([make_slice(invoke), make_slice(invoke)])
    assert event_loop.free == 998
    hold.set()
    arrivals.next()
    arrivals.next()
    assert event_loop.free == 1000


def test_what_an_attempt_did_and_what_failed_is_kept(
    event_loop: EventLoop, make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    effects = Effects()

    async def invoke(_: Slice, index: int) -> Effects:
        if index == 0:
            raise ConnectionError
        return effects

    event_loop.start([make_slice(invoke, 2)])
    piece = arrivals.next()
    assert (list(piece.failures), piece.effects) == ([0], {1: effects})


def test_each_task_knows_its_own_slice(
    event_loop: EventLoop, make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    own: list[bool] = []

    async def invoke(piece: Slice, _: int) -> None:
        await asyncio.sleep(0.001)
        own.append(RUNNING.get() is piece)

    event_loop.start([make_slice(invoke) for _ in range(10)])
    for _ in range(10):
        arrivals.next()
    assert own == [True] * 10


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), MemoryError()])
def test_an_error_that_is_meant_for_the_app_is_handed_over_and_the_loop_goes_on(
    event_loop: EventLoop, make_slice: MakeSlice, arrivals: Arrivals, error: BaseException
) -> None:
    async def stop(_: Slice, __: int) -> None:
        raise error

    async def go_on(_: Slice, __: int) -> None: ...

    event_loop.start([make_slice(stop)])
    assert arrivals.next().fatal is error
    event_loop.start([make_slice(go_on)])
    assert arrivals.next().progress == 1


def test_something_awaited_that_was_cancelled_is_a_failure_of_the_attempt(
    event_loop: EventLoop, make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    async def invoke(_: Slice, __: int) -> None:
        inner = asyncio.ensure_future(asyncio.sleep(60))
        inner.cancel()
        await inner

    event_loop.start([make_slice(invoke)])
    piece = arrivals.next()
    assert piece.fatal is None
    assert "awaited was cancelled" in str(piece.failures[0])


def test_closing_cancels_what_still_runs(make_slice: MakeSlice, arrivals: Arrivals) -> None:
    started, cancelled = threading.Event(), threading.Event()
    event_loop = EventLoop(10, arrivals.add)

    async def invoke(_: Slice, __: int) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    event_loop.start([make_slice(invoke)])
    started.wait(10)
    event_loop.close()

    assert cancelled.wait(10)
    assert arrivals.next().failures == {}


def test_a_thread_can_wait_for_a_coroutine(event_loop: EventLoop) -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert event_loop.wait_for(answer()) == 42


def test_a_loop_that_was_never_needed_has_no_thread(arrivals: Arrivals) -> None:
    before = threading.active_count()
    EventLoop(10, arrivals.add).close()
    assert threading.active_count() == before
