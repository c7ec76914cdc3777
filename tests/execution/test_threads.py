"""Threads: as many slices at a time as there are threads."""

import threading
from collections.abc import Iterator

import pytest

from streamjobs.engine.slices import RUNNING, Slice
from streamjobs.execution.threads import Threads
from tests.support.engine import Arrivals, MakeSlice


@pytest.fixture
def threads(arrivals: Arrivals) -> Iterator[Threads]:
    threads = Threads(3, arrivals.add)
    yield threads
    threads.close()


def test_slices_run_at_the_same_time(
    threads: Threads, make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    together = threading.Barrier(3, timeout=10)
    threads.start([make_slice(lambda *_: together.wait() and None) for _ in range(3)])
    assert [arrivals.next().failures for _ in range(3)] == [{}, {}, {}]


def test_threads_start_when_they_are_needed(
    threads: Threads, make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    names: list[str] = []
    for _ in range(5):
        threads.start([make_slice(lambda *_: names.append(threading.current_thread().name))])
        arrivals.next()
    assert set(names) == {"streamjobs-worker-0"}


def test_threads_without_a_slice_are_free(
    threads: Threads, make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    hold = threading.Event()
    assert threads.free == 3
    threads.start([make_slice(lambda *_: hold.wait(10) and None) for _ in range(2)])
    assert threads.free == 1
    hold.set()
    arrivals.next()
    arrivals.next()
    assert threads.free == 3


def test_a_thread_survives_the_errors_of_its_handlers(
    threads: Threads, make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    def invoke(*_: object) -> None:
        raise SystemExit

    threads.start([make_slice(invoke)])
    assert isinstance(arrivals.next().fatal, SystemExit)
    threads.start([make_slice(lambda *_: None)])
    assert arrivals.next().progress == 1


def test_each_thread_knows_its_own_slice(
    threads: Threads, make_slice: MakeSlice, arrivals: Arrivals
) -> None:
    together = threading.Barrier(3, timeout=10)
    own: list[bool] = []

    def invoke(piece: Slice, _: int) -> None:
        together.wait()
        own.append(RUNNING.get() is piece)

    threads.start([make_slice(invoke) for _ in range(3)])
    for _ in range(3):
        arrivals.next()
    assert own == [True, True, True]


def test_idle_threads_end_when_it_is_closed(make_slice: MakeSlice, arrivals: Arrivals) -> None:
    threads = Threads(1, arrivals.add)
    workers: list[threading.Thread] = []
    threads.start([make_slice(lambda *_: workers.append(threading.current_thread()))])
    arrivals.next()

    threads.close()

    workers[0].join(10)
    assert not workers[0].is_alive()
