"""Processes: slices run in other processes, and what became of them is known here."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streamjobs import App
from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.generation import Generation
from streamjobs.engine.slices import Slice
from streamjobs.errors import (
    ConfigurationError,
    RemoteError,
    WorkerProcessDiedError,
    WorkerStartError,
)
from streamjobs.execution.launch import Launch, launch_for
from streamjobs.execution.processes import Processes
from streamjobs.execution.remote_errors import RemoteTraceback
from streamjobs.record import Record
from tests.support import process_handlers as handlers
from tests.support.engine import Arrivals
from tests.support.processes import wait_until

Start = Callable[..., Processes]


@pytest.fixture
def start(arrivals: Arrivals) -> Iterator[Start]:
    """A pool; one process unless said otherwise."""
    pools: list[Processes] = []

    def start(**others: Any) -> Processes:
        launch = replace(launch_for(handlers.app), **{"workers": 1} | others)
        pools.append(Processes(launch, arrivals.add))
        return pools[-1]

    yield start
    for pool in pools:
        pool.close()


class Given:
    """Slices of one assignment of a partition."""

    def __init__(self) -> None:
        def no_coroutines(_: Any) -> Any: ...

        route = handlers.app.topics["in"].route(no_coroutines, 1_000_000, "group")
        self.generation = Generation(TopicPartition("in", 0), route, 0)

    def piece(
        self,
        *orders: str,
        key: bytes | None = None,
        attempts: dict[int, int] | None = None,
        refused: dict[int, Exception] | None = None,
    ) -> Slice:
        """A slice with these orders as values, each of a key of its own or all of one."""
        records = [
            Record("in", 0, at, key or b"%d" % at, order.encode(), [("name", b"value")], 1_700)
            for at, order in enumerate(orders)
        ]
        return Slice(
            self.generation,
            self.generation.virtual_partitions[3],
            records,
            [record.key for record in records],
            attempts or {},
            refused or {},
        )


@pytest.fixture
def given() -> Given:
    return Given()


def emitted(piece: Slice, index: int = 0) -> Any:
    """What an attempt emitted, from JSON."""
    (message,) = piece.effects[index].emits
    return json.loads(message.value or b"")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pid_in(path: Path) -> int:
    """What a handler wrote there when it began."""
    wait_until(lambda: path.exists() and path.read_text(), 10, "the handler began")
    return int(path.read_text())


# What handlers see, and what comes back.


def test_a_handler_runs_in_the_main_thread_of_another_process_and_sees_its_record(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    piece = given.piece("nothing", "tell", attempts={1: 4})
    start().start([piece])

    assert arrivals.next() is piece
    seen = emitted(piece, 1)
    assert seen.pop("pid") != os.getpid()
    assert seen.pop("initialized") != handlers.initialized
    assert seen == {
        "parent": os.getpid(),
        "main thread": True,
        "same": True,
        "id": "in/0/1",
        "key": "1",
        "header": "value",
        "timestamp": 1_700,
        "attempt": 4,
    }


def test_what_attempts_emitted_comes_back_by_record(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("emit a", "nothing", "emit b c")])

    piece = arrivals.next()
    emits = {at: [each.value for each in did.emits] for at, did in piece.effects.items()}
    assert emits == {0: [b"a"], 2: [b"b", b"c"]}
    assert piece.progress == 3


def test_the_time_a_slice_took_is_known(start: Start, given: Given, arrivals: Arrivals) -> None:
    start().start([given.piece("sleep 0.03")])
    assert 0.03 <= arrivals.next().seconds < 1


def test_the_initializer_ran_once_in_each_process_before_its_first_record(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("tell", "tell")])

    piece = arrivals.next()
    assert emitted(piece, 0)["initialized"] == [emitted(piece, 0)["pid"]]
    assert emitted(piece, 1) | {"id": "", "key": ""} == emitted(piece, 0) | {"id": "", "key": ""}


# Errors.


def test_an_error_fails_its_record_and_the_others_run(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("fail plain", "nothing")])

    piece = arrivals.next()
    assert (list(piece.failures), piece.progress, piece.fatal) == ([0], 2, None)


def test_an_error_comes_over_with_its_class_and_the_traceback_it_had_there(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("fail plain")])

    error = arrivals.next().failures[0]
    assert (type(error), str(error)) == (handlers.PlainError, "as it is")
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "process_handlers.py" in str(error.__cause__)


def test_an_error_whose_class_cannot_be_called_again_comes_over_all_the_same(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("fail demanding")])

    error = arrivals.next().failures[0]
    assert type(error) is handlers.DemandingError
    assert (str(error), error.code) == ("it says so (7)", 7)


def test_an_error_whose_class_cannot_be_imported_keeps_name_and_message(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("fail local")])

    error = arrivals.next().failures[0]
    assert isinstance(error, RemoteError)
    assert (type(error).__name__, str(error)) == ("LocalError", "of a function")


def test_what_stands_behind_an_error_of_its_key_is_skipped(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("fail plain", "nothing", "nothing", key=b"k")])

    piece = arrivals.next()
    assert (list(piece.failures), piece.skipped, piece.progress) == ([0], {1, 2}, 3)


def test_a_refused_record_fails_with_the_error_it_was_refused_for(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    reason = ValueError("refused")
    start().start([given.piece("die exit", "nothing", refused={0: reason})])

    piece = arrivals.next()
    assert piece.failures == {0: reason}
    assert piece.progress == 2


def test_effects_that_cannot_travel_fail_their_own_attempt(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("nothing", "unpicklable", "emit a")])

    piece = arrivals.next()
    assert (list(piece.failures), list(piece.effects)) == ([1], [2])


@pytest.mark.parametrize(
    "order,kind", [("exit", SystemExit), ("interrupt", KeyboardInterrupt), ("memory", MemoryError)]
)
def test_an_error_that_is_meant_for_the_app_is_no_failure(
    start: Start, given: Given, arrivals: Arrivals, order: str, kind: type[BaseException]
) -> None:
    start().start([given.piece("nothing", f"fail {order}", "nothing")])

    piece = arrivals.next()
    assert isinstance(piece.fatal, kind)
    assert (piece.progress, piece.failures) == (1, {})


# What happens to the partition and the app.


def test_a_running_handler_is_told_that_its_partition_goes_away(
    start: Start, given: Given, arrivals: Arrivals, tmp_path: Path
) -> None:
    began = tmp_path / "began"
    start().start([given.piece(f"heed {began}", "nothing")])
    wait_until(began.exists)

    given.generation.revoke()

    piece = arrivals.next()
    assert emitted(piece) == {"revoked": True, "stopping": False}
    assert piece.progress == 1, "the next one must not start any more"


def test_a_running_handler_is_told_that_the_app_stops(
    start: Start, given: Given, arrivals: Arrivals, tmp_path: Path
) -> None:
    began = tmp_path / "began"
    start().start([given.piece(f"heed {began}")])
    wait_until(began.exists)

    given.generation.stop()

    assert emitted(arrivals.next()) == {"revoked": False, "stopping": True}


def test_slices_that_have_not_begun_come_back_as_they_are_when_their_partition_goes_away(
    start: Start, given: Given, arrivals: Arrivals, tmp_path: Path
) -> None:
    began = tmp_path / "began"
    pool = start()
    running = given.piece(f"heed {began}")
    waiting = [Given().piece("emit a") for _ in range(3)]
    pool.start([running, *waiting])
    wait_until(began.exists)

    for piece in waiting:
        piece.generation.revoke()

    assert [arrivals.next() for _ in waiting] == waiting
    assert [piece.progress for piece in waiting] == [0, 0, 0]
    given.generation.revoke()
    assert arrivals.next() is running


# Who runs what.


def test_processes_start_when_they_are_needed(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    pool = start(workers=8)
    pids = set()
    for _ in range(3):
        pool.start([given.piece("tell")])
        pids.add(emitted(arrivals.next())["pid"])
    assert len(pids) == 1


def test_slices_run_at_the_same_time(
    start: Start, given: Given, arrivals: Arrivals, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    start(workers=2).start(
        [
            given.piece(f"heed {first}", f"wait-for {second}"),
            given.piece(f"wait-for {first}", f"heed {second}"),
        ]
    )
    wait_until(second.exists)
    given.generation.stop()
    assert [arrivals.next().failures for _ in range(2)] == [{}, {}]


def test_a_slice_does_not_wait_behind_a_record_that_takes_longer_than_was_thought(
    start: Start, given: Given, arrivals: Arrivals, tmp_path: Path
) -> None:
    pool, began = start(workers=2), tmp_path / "began"
    for _ in range(20):  # so that records are expected to be short, and many are at hand
        pool.start([given.piece("nothing") for _ in range(2)])
        arrivals.next()
        arrivals.next()

    pool.start([given.piece(f"hang {began}"), *[given.piece("nothing") for _ in range(20)]])

    assert [arrivals.next(5).progress for _ in range(20)] == [1] * 20
    pool.kill(_hanging(pool), TimeoutError())
    arrivals.next()


def _hanging(pool: Processes) -> Slice:
    (attempt,) = pool.running()
    return attempt.piece


def test_slices_on_their_way_are_not_free(start: Start, given: Given, arrivals: Arrivals) -> None:
    pool = start(workers=2)
    before = pool.free
    pool.start([given.piece("sleep 0.2"), given.piece("sleep 0.2")])
    assert pool.free == before - 2
    arrivals.next()
    arrivals.next()
    assert pool.free >= 2


def test_the_progress_of_a_long_slice_is_seen_while_it_runs(
    start: Start, given: Given, arrivals: Arrivals, tmp_path: Path
) -> None:
    began = tmp_path / "began"
    piece = given.piece("emit a", "sleep 0.06", f"heed {began}")
    start().start([piece])

    wait_until(lambda: piece.progress == 2)

    assert list(piece.effects) == [0]
    given.generation.stop()
    assert arrivals.next().progress == 3


def test_it_tells_which_attempt_runs_and_since_when(
    start: Start, given: Given, arrivals: Arrivals, tmp_path: Path
) -> None:
    pool, began = start(), tmp_path / "began"
    piece = given.piece("nothing", f"heed {began}")
    pool.start([piece])
    wait_until(began.exists)

    (attempt,) = pool.running()

    assert (attempt.piece, attempt.current) == (piece, 1)
    wait_until(lambda: piece.current == 1)
    assert str(piece.worker).startswith("process ")
    assert time.monotonic() - 5 < attempt.started < time.monotonic()
    given.generation.stop()
    arrivals.next()
    assert pool.running() == []


# Processes that die.


@pytest.mark.parametrize(
    "how,end",
    [
        ("exit", "with exit code 7"),
        ("SIGKILL", "by SIGKILL .*want of memory"),
        ("SIGABRT", "by SIGABRT .*native code"),
    ],
)
def test_a_process_that_dies_fails_the_attempt_it_ran_and_says_how(
    start: Start, given: Given, arrivals: Arrivals, how: str, end: str
) -> None:
    start().start([given.piece("nothing", f"die {how}", "nothing")])

    piece = arrivals.next()
    assert list(piece.failures) == [1]
    assert isinstance(piece.failures[1], WorkerProcessDiedError)
    with pytest.raises(WorkerProcessDiedError, match=rf"worker process \d+ ended {end}"):
        raise piece.failures[1]


def test_records_before_it_are_done_and_records_behind_it_have_not_run(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("nothing", "nothing", "die exit", "nothing")])

    piece = arrivals.next()
    assert (piece.progress, piece.skipped) == (3, set())


def test_a_record_whose_effects_died_with_the_process_has_not_run(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("nothing", "emit a", "nothing", "die exit")])

    piece = arrivals.next()
    assert (list(piece.failures), piece.skipped, piece.effects) == ([3], {1, 2}, {})


def test_effects_are_reported_before_an_attempt_that_is_not_the_first(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    """So that a record which always kills its process does not undo those before it for ever."""
    start().start([given.piece("emit a", "die exit", attempts={1: 2})])

    piece = arrivals.next()
    assert (list(piece.failures), piece.skipped, list(piece.effects)) == ([1], set(), [0])


def test_effects_of_an_attempt_that_is_not_the_first_are_reported_at_once(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    """Else a death behind it would have it begin with its first attempt again."""
    start().start([given.piece("emit a", "die exit", attempts={0: 2})])

    piece = arrivals.next()
    assert (list(piece.failures), piece.skipped, list(piece.effects)) == ([1], set(), [0])


def test_an_error_before_it_is_not_forgotten(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("fail plain", "nothing", "die exit")])

    piece = arrivals.next()
    assert {at: type(error) for at, error in piece.failures.items()} == {
        0: handlers.PlainError,
        2: WorkerProcessDiedError,
    }


def test_slices_that_waited_for_a_process_that_died_run_in_another(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    pool = start()
    for _ in range(20):  # so that several are at hand
        pool.start([given.piece("nothing")])
        arrivals.next()

    dying = given.piece("die exit")
    waiting = [given.piece("emit a") for _ in range(10)]
    pool.start([dying, *waiting])

    assert arrivals.next() is dying
    assert {arrivals.next() for _ in waiting} == set(waiting)
    assert all(not piece.failures and 0 in piece.effects for piece in waiting)


def test_a_process_that_dies_without_a_record_is_replaced_when_one_comes(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    pool = start()
    pool.start([given.piece("tell")])
    before = emitted(arrivals.next())["pid"]

    os.kill(before, signal.SIGKILL)

    wait_until(lambda: not alive(before))
    pool.start([given.piece("tell")])
    assert emitted(arrivals.next())["pid"] != before


def test_killing_an_attempt_fails_it_with_the_error_given(
    start: Start, given: Given, arrivals: Arrivals, tmp_path: Path
) -> None:
    pool, began, error = start(), tmp_path / "began", TimeoutError("too long")
    piece = given.piece("nothing", f"hang {began}", "nothing")
    pool.start([piece])
    pid = pid_in(began)

    assert pool.kill(piece, error)

    assert arrivals.next().failures == {1: error}
    assert piece.progress == 2
    assert not alive(pid)


def test_a_slice_that_does_not_run_cannot_be_killed(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    pool, piece = start(), given.piece("nothing")
    pool.start([piece])
    arrivals.next()
    assert not pool.kill(piece, TimeoutError())


def test_signals_for_the_whole_group_are_left_to_the_app(
    start: Start, given: Given, arrivals: Arrivals, tmp_path: Path
) -> None:
    began = tmp_path / "began"
    start().start([given.piece(f"hang {began}")])
    pid = pid_in(began)

    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.1)

    assert alive(pid)


# Processes that are replaced.


def test_a_process_that_has_run_its_number_of_records_is_replaced_and_nothing_is_lost(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    pool = start(max_records=5)
    pids: dict[int, int] = {}
    deadline = time.monotonic() + 20
    while len(pids) < 3 and time.monotonic() < deadline:
        pieces = [given.piece("tell", "tell") for _ in range(4)]
        pool.start(pieces)
        for _ in pieces:
            piece = arrivals.next()
            assert piece.progress == 2
            assert piece.failures == {}
            pid = emitted(piece)["pid"]
            pids[pid] = pids.get(pid, 0) + 2
    assert len(pids) == 3
    first, second, _ = pids.values()
    assert min(first, second) >= 5


def test_work_goes_on_while_the_successor_starts(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    pool, longest, pids = start(max_records=1), 0.0, set()
    began = time.monotonic()
    pool.start([given.piece("tell")])
    arrivals.next()
    starting = time.monotonic() - began
    while len(pids) < 3:
        began = time.monotonic()
        pool.start([given.piece("tell")])
        pids.add(emitted(arrivals.next())["pid"])
        longest = max(longest, time.monotonic() - began)
    assert longest < starting


def test_a_process_that_holds_too_much_memory_is_replaced(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    pool, pids = start(max_mib=1), set()
    deadline = time.monotonic() + 20
    while len(pids) < 2 and time.monotonic() < deadline:
        pool.start([given.piece("tell")])
        pids.add(emitted(arrivals.next())["pid"])
    assert len(pids) == 2


# The start.


def test_an_initializer_that_raises_stops_the_app(
    arrivals: Arrivals, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMJOBS_TEST_BROKEN_INITIALIZER", "1")
    pool = Processes(replace(launch_for(handlers.app), workers=2), arrivals.add)
    pool.start([given.piece("nothing"), given.piece("nothing")])

    pieces = [arrivals.next(), arrivals.next()]

    for piece in pieces:
        with pytest.raises(WorkerStartError, match=r"initializer initialize raised .*broken"):
            raise piece.fatal or AssertionError
    pool.start([given.piece("nothing")])
    assert isinstance(arrivals.next().fatal, WorkerStartError)
    pool.close()


def test_a_process_that_does_not_find_the_handler_says_which(
    arrivals: Arrivals, given: Given
) -> None:
    lost = ("in", "other", handlers.__name__, "other")
    launch = replace(launch_for(handlers.app), workers=1, handlers=(lost,))
    pool = Processes(launch, arrivals.add)
    pool.start([given.piece("nothing")])

    with pytest.raises(WorkerStartError, match=r"did not declare .*process_handlers\.other"):
        raise arrivals.next().fatal or AssertionError
    pool.close()


def test_processes_that_die_while_they_start_stop_the_app(
    arrivals: Arrivals, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMJOBS_TEST_BROKEN_INITIALIZER", "die")
    pool = Processes(replace(launch_for(handlers.app), workers=1), arrivals.add)
    pool.start([given.piece("nothing")])

    with pytest.raises(WorkerStartError, match="3 worker processes died with exit code 9"):
        raise arrivals.next(30).fatal or AssertionError
    pool.close()


# The end.


def test_closing_ends_all_processes(start: Start, given: Given, arrivals: Arrivals) -> None:
    pool = start(workers=2)
    pool.start([given.piece("tell"), given.piece("sleep 0.1", "tell")])
    pids = [emitted(piece, len(piece.records) - 1)["pid"] for piece in map(_next(arrivals), "12")]

    began = time.monotonic()
    pool.close()

    assert not any(map(alive, pids))
    assert time.monotonic() - began < 5


def _next(arrivals: Arrivals) -> Callable[[object], Slice]:
    return lambda _: arrivals.next()


def test_closing_does_not_wait_for_a_handler_that_goes_on(
    start: Start, given: Given, tmp_path: Path
) -> None:
    pool, path = start(), tmp_path / "began"
    pool.start([given.piece(f"hang {path}")])
    pid = pid_in(path)

    began = time.monotonic()
    pool.close()

    assert not alive(pid)
    assert time.monotonic() - began < 5


def test_a_pool_that_was_never_needed_has_no_thread(start: Start) -> None:
    before = threading.active_count()
    start().close()
    assert threading.active_count() == before


# What a launch holds.


def test_a_launch_without_a_number_has_one_process_for_each_cpu() -> None:
    assert launch_for(App("cpus", broker="nowhere:9092")).workers == len(os.sched_getaffinity(0))


def test_settings_that_cannot_travel_are_left_to_the_module() -> None:
    app = App("kept", producer_config={"oauth_cb": lambda _: None}, commit_interval=3)
    launch: Launch = launch_for(app)
    assert "producer_config" not in launch.settings
    assert launch.settings["commit_interval"] == 3


# What is refused when it is declared.


def plain() -> None: ...


async def coroutine() -> None: ...


def test_functions_that_a_process_could_not_import_are_refused() -> None:
    def local() -> None: ...

    app = App("refusing", broker="nowhere:9092")
    for function in (local, lambda: None):
        with pytest.raises(ConfigurationError, match="Define it with `def` at the top of a module"):
            app.job(topic="jobs", name="job", process=True)(function)


def test_coroutine_functions_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="process=True takes a plain one"):
        App("refusing", broker="nowhere:9092").job(topic="jobs", process=True)(coroutine)


def test_inline_excludes_it() -> None:
    with pytest.raises(ConfigurationError, match="exclude each other"):
        App("refusing").job(topic="jobs", process=True, inline=True)(plain)


@pytest.mark.parametrize("first", [True, False])
def test_a_topic_with_other_kinds_of_jobs_is_refused(first: bool) -> None:
    app = App("refusing", broker="nowhere:9092")
    app.job(topic="jobs", name="a", process=first)(plain)
    with pytest.raises(ConfigurationError, match="give all of them process=True, or"):
        app.job(topic="jobs", name="b", process=not first)(plain)


def test_an_initializer_that_a_process_could_not_import_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at the top of a module"):
        App("refusing").process_initializer(lambda: None)
