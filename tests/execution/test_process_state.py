"""Slices of handlers with state, in worker processes."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.generation import Generation
from streamjobs.engine.slices import Slice
from streamjobs.errors import AttemptInterruptedError, WorkerProcessDiedError
from streamjobs.execution.launch import launch_for
from streamjobs.execution.processes import Processes
from streamjobs.record import Record
from streamjobs.state.entries import entry_key
from streamjobs.state.errors import (
    StateClosedError,
    StateError,
    StateNeedsKeyError,
    StateNotDeclaredError,
)
from tests.support import process_state as handlers
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
    wait_until(lambda: not answering(), 5, "the threads that answer end with their processes")


def answering() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.endswith("-state")]


class Merged:
    """Stands in for a write-back cache: what earlier slices left. It can be slow, and it can
    raise.
    """

    def __init__(self) -> None:
        self.values: dict[bytes, bytes | None] = {}
        self.asked: list[bytes] = []
        self.error: Exception | None = None
        self.open = threading.Event()
        self.open.set()

    def get(self, key: bytes) -> bytes | None:
        self.asked.append(key)
        assert self.open.wait(20)
        if self.error is not None:
            raise self.error
        return self.values.get(key)


class Given:
    """Slices of one assignment of a partition, and its stores."""

    def __init__(self) -> None:
        def no_coroutines(_: Any) -> Any: ...

        route = handlers.app.topics["orders"].route(no_coroutines, 1_000_000, "group")
        self.generation = Generation(TopicPartition("orders", 0), route, 0)
        self.store, self.other = Merged(), Merged()
        stores: Any = self.generation.stores
        stores |= {"default": self.store, "other": self.other}

    def piece(self, *orders: str, key: bytes | None = b"k", **others: Any) -> Slice:
        """A slice with these orders as values, all of one key."""
        records = [Record("orders", 0, at, key, order.encode()) for at, order in enumerate(orders)]
        return self.slice_of(records, **others)

    def slice_of(self, records: list[Record], attempts: dict[int, int] | None = None) -> Slice:
        lane = self.generation.virtual_partitions[3]
        orders = [record if record.key is None else record.key for record in records]
        return Slice(self.generation, lane, records, orders, attempts or {}, {})

    def holds(self, name: str, value: bytes, key: bytes = b"k") -> None:
        self.store.values[entry_key(key, name)] = value


@pytest.fixture
def given() -> Given:
    return Given()


def emitted(piece: Slice) -> list[Any]:
    """What its attempts emitted, from JSON."""
    return [
        json.loads(message.value or b"")
        for _, effects in sorted(piece.effects.items())
        for message in effects.emits
    ]


def changes(piece: Slice, index: int = 0) -> Any:
    return piece.effects[index].changes


# What is read.


def test_a_handler_reads_what_is_merged_in_the_app(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    given.holds("seen", b"41")
    start().start([given.piece("count:seen")])
    assert emitted(arrivals.next()) == [{"seen": 42}]


def test_an_attempt_reads_its_own_writes(start: Start, given: Given, arrivals: Arrivals) -> None:
    given.holds("seen", b"1")
    start().start([given.piece("count:seen count:seen delete:seen read:seen")])
    assert emitted(arrivals.next()) == [{"seen": 2}, {"seen": 3}, {"seen": None}]


def test_an_attempt_reads_what_earlier_ones_of_its_slice_wrote(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("count:seen", "count:seen", "delete:seen", "count:seen")])
    assert emitted(arrivals.next()) == [{"seen": 1}, {"seen": 2}, {"seen": 1}]


def test_each_store_has_values_of_its_own(start: Start, given: Given, arrivals: Arrivals) -> None:
    given.other.values[entry_key(b"k", "x")] = b'"other"'
    start().start([given.piece("write:x:mine read:x read:x:other")])
    assert emitted(arrivals.next()) == [{"x": "mine"}, {"x": "other"}]


def test_each_key_has_values_of_its_own(start: Start, given: Given, arrivals: Arrivals) -> None:
    given.holds("seen", b"1", key=b"a")
    records = [Record("orders", 0, at, key, b"count:seen") for at, key in enumerate((b"a", b"b"))]
    start().start([given.slice_of(records)])
    assert emitted(arrivals.next()) == [{"seen": 2}, {"seen": 1}]


def test_the_next_slice_reads_what_has_been_merged_since(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    pool = start()
    pool.start([given.piece("read:seen")])
    first = arrivals.next()
    given.holds("seen", b"7")
    pool.start([given.piece("read:seen")])
    assert emitted(first) + emitted(arrivals.next()) == [{"seen": None}, {"seen": 7}]


def test_in_a_slice_each_value_is_read_once(start: Start, given: Given, arrivals: Arrivals) -> None:
    start().start([given.piece("read:seen read:seen", "read:seen", "count:seen", "read:seen")])
    arrivals.next()
    assert given.store.asked == [entry_key(b"k", "seen")]


def test_a_handler_that_reads_nothing_asks_nothing(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("write:seen:1", "read:seen", "delete:seen")])
    arrivals.next()
    assert given.store.asked == []


def test_large_values_arrive_while_parcels_and_reports_are_on_their_way(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    """Far more in both directions than the sockets hold."""
    given.holds("large", b"\xf9" + b"x" * 3_000_000)
    large = "write:" + "y" * 1_000 + ":" + "z" * 400_000
    pieces = [given.piece("measure:large", large) for _ in range(20)]
    start(workers=2).start(pieces)
    for _ in pieces:
        assert emitted(arrivals.next(30)) == [3_000_000]


# What is written.


def test_what_an_attempt_wrote_comes_back_with_what_it_emitted(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("count:seen write:x:1:other delete:gone")])
    piece = arrivals.next()
    assert changes(piece) == {
        "default": {entry_key(b"k", "seen"): b"1", entry_key(b"k", "gone"): None},
        "other": {entry_key(b"k", "x"): b'"1"'},
    }
    assert emitted(piece) == [{"seen": 1}]


def test_an_attempt_that_only_looked_has_no_effects(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("look:seen")])
    piece = arrivals.next()
    assert (piece.progress, piece.effects) == (1, {})


def test_a_failed_attempt_leaves_nothing(start: Start, given: Given, arrivals: Arrivals) -> None:
    pool = start()
    pool.start([given.piece("count:seen fail")])
    failed = arrivals.next()
    pool.start([given.piece("count:seen", attempts={0: 2})])
    assert (list(failed.failures), failed.effects) == ([0], {})
    assert emitted(arrivals.next()) == [{"seen": 1}]


def test_a_process_that_dies_leaves_nothing_of_its_attempt(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("count:seen", "pause", "count:seen die")])
    piece = arrivals.next()
    assert isinstance(piece.failures[2], WorkerProcessDiedError)
    assert changes(piece) == {"default": {entry_key(b"k", "seen"): b"1"}}
    assert (list(piece.effects), piece.skipped) == ([0], set())


def test_what_it_had_written_and_not_reported_counts_as_not_run(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    """And so does what came behind it and may have read that."""
    start().start([given.piece("count:seen", "look:seen", "die")])
    piece = arrivals.next()
    assert (list(piece.failures), piece.skipped, piece.effects) == ([2], {0, 1}, {})


# What cannot be read.


def test_a_record_without_a_key_has_no_state(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("read:seen", key=None)])
    assert isinstance(arrivals.next().failures[0], StateNeedsKeyError)


def test_a_store_that_was_not_declared_is_none(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    start().start([given.piece("read:seen:third")])
    assert isinstance(arrivals.next().failures[0], StateNotDeclaredError)


def test_a_store_that_cannot_be_read_fails_the_attempt_with_its_error(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    given.store.error = StateError("the disk is gone")
    start().start([given.piece("count:seen")])
    error = arrivals.next().failures[0]
    assert (type(error), str(error)) == (StateError, "the disk is gone")


def test_state_of_a_partition_that_went_away_interrupts_the_attempt(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    given.store.open.clear()
    piece = given.piece("count:seen", "count:seen")
    start().start([piece])
    wait_until(lambda: given.store.asked)

    given.generation.revoke()
    given.store.error = StateClosedError("the store is closed")
    given.store.open.set()

    assert arrivals.next() is piece
    assert isinstance(piece.failures[0], AttemptInterruptedError)
    assert piece.effects == {}  # the second one is skipped, or has not begun


def test_while_a_partition_is_about_to_go_its_state_is_still_read(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    given.holds("seen", b"1")
    given.store.open.clear()
    start().start([given.piece("count:seen")])
    wait_until(lambda: given.store.asked)

    given.generation.revoke()
    given.store.open.set()

    assert emitted(arrivals.next()) == [{"seen": 2}]


# Nobody else waits for a read.


def test_a_read_that_takes_long_holds_up_neither_the_owner_nor_other_processes(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    slow, pool = Given(), start(workers=2)
    slow.store.open.clear()
    waiting = slow.piece("count:seen")
    pool.start([waiting])
    wait_until(lambda: slow.store.asked)

    began = time.monotonic()
    pool.start([given.piece("count:seen") for _ in range(10)])
    handed_over = time.monotonic() - began
    others = [arrivals.next() for _ in range(10)]

    assert handed_over < 1
    assert waiting not in others
    slow.store.open.set()
    assert arrivals.next() is waiting


def test_a_process_can_be_killed_while_it_reads(
    start: Start, given: Given, arrivals: Arrivals
) -> None:
    pool, error = start(), TimeoutError("too long")
    given.store.open.clear()
    piece = given.piece("count:seen", "count:seen")
    pool.start([piece])
    wait_until(lambda: given.store.asked)

    assert pool.kill(piece, error)

    assert arrivals.next().failures == {0: error}
    given.store.open.set()
    wait_until(lambda: not answering(), 5, "nobody waits for that answer any more")


def test_without_state_nobody_answers(start: Start, given: Given, arrivals: Arrivals) -> None:
    start(has_state=False).start([given.piece("write:seen:1")])
    arrivals.next()
    assert answering() == []
