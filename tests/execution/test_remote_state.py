"""State as a worker process reads it: what is asked for, and what is answered."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from streamjobs.errors import AttemptInterruptedError
from streamjobs.execution.parcels import frame
from streamjobs.execution.remote_state import AHEAD, ENOUGH, Asking, RemoteStore, answer
from streamjobs.state.entries import entry_key
from streamjobs.state.errors import StateClosedError, StateError
from tests.support.engine import generation, record
from tests.support.processes import wait_until

# One store, for one slice.


class App:
    """Has values by key, and notes what it is asked for."""

    def __init__(self, **values: bytes) -> None:
        self.values = {at(key): value for key, value in values.items()}
        self.questions: list[Sequence[bytes]] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def ask(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        self.questions.append(keys)
        values = [self.values.get(key) for key in keys]
        self.meanwhile()
        return values


def at(key: str, name: str = "n") -> bytes:
    return entry_key(key.encode(), name)


def keys(*names: str) -> list[bytes]:
    return [name.encode() for name in names]


def test_a_value_is_asked_for_once() -> None:
    app = App(a=b"1")
    store = RemoteStore(app.ask, keys("a"))
    assert [store.get(at("a")) for _ in range(3)] == [b"1"] * 3
    assert app.questions == [[at("a")]]


def test_that_there_is_none_is_remembered_too() -> None:
    app = App()
    store = RemoteStore(app.ask, keys("a"))
    assert [store.get(at("a")) for _ in range(3)] == [None] * 3
    assert len(app.questions) == 1


def test_what_was_written_is_not_asked_for() -> None:
    app = App(a=b"1", b=b"1")
    store = RemoteStore(app.ask, keys("a", "b"))
    store.merge({at("a"): b"2", at("b"): None})
    assert (store.get(at("a")), store.get(at("b"))) == (b"2", None)
    assert app.questions == []


def test_keys_that_come_next_are_asked_for_at_the_same_time() -> None:
    app = App(a=b"1", b=b"2", c=b"3")
    store = RemoteStore(app.ask, keys("a", "b", "b", "c", "b"))
    assert [store.get(at(key)) for key in "abc"] == [b"1", b"2", b"3"]
    assert app.questions == [[at("a"), at("b"), at("c")]]


def test_those_before_it_and_those_that_are_known_are_not() -> None:
    app = App()
    store = RemoteStore(app.ask, keys("a", "b", "c", "d"))
    store.merge({at("c"): b"1"})
    store.get(at("b"))
    assert app.questions == [[at("b"), at("d")]]


def test_only_so_many_are_asked_for_at_once() -> None:
    app = App()
    many = [f"key{number}" for number in range(3 * AHEAD)]
    store = RemoteStore(app.ask, keys(*many))
    for key in many:
        store.get(at(key))
    assert [len(question) for question in app.questions] == [AHEAD + 1, AHEAD + 1, AHEAD - 2]


def test_names_are_asked_for_on_their_own() -> None:
    app = App()
    store = RemoteStore(app.ask, keys("a", "b"))
    store.get(at("a", "n"))
    store.get(at("a", 'odd"|"name'))
    assert app.questions[1] == [at("a", 'odd"|"name'), at("b", 'odd"|"name')]


@pytest.mark.parametrize("order", [3, record(1)])
def test_where_the_order_is_not_that_of_the_key_nothing_else_is_asked_for(order: Any) -> None:
    app = App(a=b"1")
    store = RemoteStore(app.ask, [order, order])
    assert store.get(at("a")) == b"1"
    assert app.questions == [[at("a")]]


def test_a_value_that_was_not_answered_is_asked_for_again() -> None:
    app = App(a=b"1", b=b"2")
    store = RemoteStore(lambda keys: app.ask(keys)[:1], keys("a", "b"))
    assert [store.get(at("a")), store.get(at("b"))] == [b"1", b"2"]
    assert app.questions == [[at("a"), at("b")], [at("b")]]


def test_an_answer_never_goes_over_what_was_written_while_it_was_on_its_way() -> None:
    app = App(a=b"old", b=b"old")
    store = RemoteStore(app.ask, keys("a", "b"))
    app.meanwhile = lambda: store.merge({at("b"): b"new"})
    store.get(at("a"))
    assert store.get(at("b")) == b"new"


# The line.


class Merged:
    """Stands in for a write-back cache."""

    def __init__(self, values: dict[bytes, bytes] | None = None) -> None:
        self.values = values or {}
        self.error: Exception | None = None

    def get(self, key: bytes) -> bytes | None:
        if self.error is not None:
            raise self.error
        return self.values.get(key)


NUMBER = 7


class Line:
    """A line between a process and its app, both in here; slice 7 is on its way."""

    def __init__(self) -> None:
        self.home, self.there = socket.socketpair()
        self.asking = Asking(self.there)
        self.store = Merged({b"a": b"1"})
        ours = generation()
        ours.stores["default"] = self.store  # type: ignore[assignment]
        answer(self.home, {NUMBER: ours}.get, "test-answers")

    def ask(self, *keys: bytes, number: int = NUMBER) -> Sequence[bytes | None]:
        return self.asking.ask(number, "default", keys)


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.there.close()
    wait_until(lambda: not answering(), 5, "its thread ends with the process")


def answering() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "test-answers"]


def test_what_is_merged_in_the_app_is_answered(line: Line) -> None:
    assert line.ask(b"a", b"b", b"a") == [b"1", None, b"1"]


def test_of_large_values_there_are_fewer_but_one_at_least(line: Line) -> None:
    line.store.values = {b"small": b"1", b"large": b"x" * (ENOUGH + 1)}
    assert line.ask(b"large", b"small") == [b"x" * (ENOUGH + 1)]
    assert len(line.ask(b"small", b"large", b"small")) == 2


def test_values_larger_than_a_socket_holds_arrive(line: Line) -> None:
    line.store.values[b"a"] = b"x" * 5_000_000
    assert line.ask(b"a") == [b"x" * 5_000_000]


def test_a_store_that_cannot_be_read_is_an_error_where_it_is_read(line: Line) -> None:
    line.store.error = StateError("the disk is gone")
    with pytest.raises(StateError, match="the disk is gone"):
        line.ask(b"a")
    line.store.error = None
    assert line.ask(b"a") == [b"1"]


def test_a_store_that_was_closed_meanwhile_interrupts_the_attempt(line: Line) -> None:
    line.store.error = StateClosedError("the store is closed")
    with pytest.raises(AttemptInterruptedError, match="went to another process, or the app stops"):
        line.ask(b"a")


def test_a_slice_that_is_not_on_its_way_any_more_reads_nothing(line: Line) -> None:
    with pytest.raises(AttemptInterruptedError, match="went to another process, or the app stops"):
        line.ask(b"a", number=NUMBER - 1)


def test_an_app_that_ended_interrupts_the_attempt() -> None:
    home, there = socket.socketpair()
    threading.Timer(0.05, home.close).start()
    with there, pytest.raises(AttemptInterruptedError, match="or the app stops"):
        Asking(there).ask(NUMBER, "default", [b"a"])


def test_an_answer_that_is_left_over_is_not_taken_for_another_one(line: Line) -> None:
    """As where a signal's handler raised while it was waited for."""
    line.store.values[b"b"] = b"2"
    line.there.sendall(frame((-1, NUMBER, "default", [b"b"])))
    assert line.ask(b"a") == [b"1"]


def test_threads_of_a_handler_take_turns(line: Line) -> None:
    line.store.values = {b"%d" % number: b"%d" % number for number in range(8)}
    wrong = []

    def read(key: bytes) -> None:
        wrong.extend(found for _ in range(200) if (found := line.ask(key)) != [key])

    threads = [threading.Thread(target=read, args=(key,)) for key in line.store.values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
