"""State as a worker process reads it: its app has the stores, and answers.

A line between the two carries nothing but questions and answers, and a process waits for the answer
before it does anything else. So neither side ever has more to say than the other one is about to
hear, whatever waits in the sockets for parcels and reports.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import count, islice
from typing import Any, Final, NamedTuple

from streamjobs.engine.generation import Generation
from streamjobs.engine.orders import Order
from streamjobs.errors import AttemptInterruptedError
from streamjobs.execution.parcels import CHUNK, Frames, frame
from streamjobs.execution.remote_errors import PackedError, pack_error, unpack_error
from streamjobs.state.entries import entry_key, split_key
from streamjobs.state.errors import StateClosedError

__all__ = ("Ask", "Asking", "RemoteStore", "answer")

AHEAD: Final = 64
"""Keys that are asked for at once: of the records that come next in the slice, by the same name."""

ENOUGH: Final = 64 * 1024
"""Bytes of values after which the rest of these keys is left for a question of its own."""


class _Question(NamedTuple):
    """What is read: the first key is wanted now, the others most likely soon."""

    id: int
    number: int
    store: str
    keys: Sequence[bytes]


class _Answer(NamedTuple):
    """The values of the first keys, as many as there were bytes for; or why there are none."""

    id: int
    values: Sequence[bytes | None]
    error: PackedError | None


# -- in the worker process ---------------------------------------------------------------------

Ask = Callable[[Sequence[bytes]], Sequence[bytes | None]]
"""The values of these keys of a store, of the first one at least."""


class Asking:
    """The line of a worker process. Threads of a handler take turns.

    Args:
        line: questions go out, answers come in.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._frames = Frames()
        self._lock = threading.Lock()
        self._ids = count()

    def ask(self, number: int, store: str, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """What the app has for the first of these keys at least.

        Raises:
            AttemptInterruptedError: the slice with this number is none of the app's any more, or
                the app has ended.
            StateError: the store cannot be read.
        """
        with self._lock:
            question = _Question(next(self._ids), number, store, keys)
            try:
                self._line.sendall(frame(tuple(question)))
                answer = self._answer(question)
            except OSError as error:
                raise _gone(error) from error
        if answer.error is not None:
            raise unpack_error(PackedError(*answer.error))
        return answer.values

    def _answer(self, question: _Question) -> _Answer:
        while data := self._line.recv(CHUNK):
            # One to an earlier question is left over where a signal's handler raised.
            for answer in [_Answer(*fields) for fields in self._frames.feed(data)]:
                if answer.id == question.id:
                    return answer
        raise _gone()


class RemoteStore:
    """Stands in for a store of the generation while one slice runs. None of its keys is in another
    slice meanwhile, so what was read stays true, but for what is written here.

    Args:
        ask: the way to the app.
        orders: of the slice's records.
    """

    def __init__(self, ask: Ask, orders: Sequence[Order]) -> None:
        self._ask = ask
        self._orders = orders
        self._known: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value as the last successful attempt left it; None if there is none.

        Raises:
            AttemptInterruptedError, StateError: as `Asking.ask`.
        """
        known = self._known
        if key not in known:
            keys = [key, *self._next(key)]
            for each, value in zip(keys, self._ask(keys), strict=False):
                known.setdefault(each, value)  # what was written meanwhile is newer
        return known[key]

    def merge(self, changes: dict[bytes, bytes | None]) -> None:
        """What a successful attempt changed."""
        self._known.update(changes)

    def _next(self, key: bytes) -> Iterable[bytes]:
        """The entries by the same name of the keys that come behind this one in the slice."""
        own, name = split_key(key)
        orders = dict.fromkeys(order for order in self._orders if isinstance(order, bytes))
        if own not in orders:
            return ()
        behind = list(orders)[list(orders).index(own) + 1 :]
        keys = (entry_key(order, name) for order in behind)
        return list(islice((each for each in keys if each not in self._known), AHEAD))


# -- in the app --------------------------------------------------------------------------------


def answer(
    line: socket.socket, generation_of: Callable[[int], Generation | None], name: str
) -> None:
    """Answer what one worker process reads, in a thread of its own, until the process ends: a read
    may wait for the disk, which must hold up neither the owner nor the other processes.

    Args:
        line: the process has the other end; closed at the end.
        generation_of: the assignment that the slice with a number belongs to.
        name: of the thread.
    """
    threading.Thread(target=_serve, args=(line, generation_of), name=name, daemon=True).start()


def _serve(line: socket.socket, generation_of: Callable[[int], Generation | None]) -> None:
    frames = Frames()
    with line:
        try:
            while data := line.recv(CHUNK):
                for fields in frames.feed(data):
                    question = _Question(*fields)
                    line.sendall(frame(tuple(_answer(question, generation_of))))
        except OSError:
            return  # it was killed: what it asked for concerns nobody any more


def _answer(question: _Question, generation_of: Callable[[int], Generation | None]) -> _Answer:
    try:
        return _Answer(question.id, _values(question, generation_of(question.number)), None)
    except StateClosedError as error:
        return _refusal(question, _gone(error))
    except Exception as error:
        return _refusal(question, error)


def _values(question: _Question, generation: Generation | None) -> list[bytes | None]:
    if generation is None:
        raise _gone()
    store, left = generation.stores[question.store], ENOUGH
    values: list[bytes | None] = []
    for key in question.keys:
        value = store.get(key)
        left -= len(value or b"")
        values.append(value)
        if left < 0:
            break
    return values


def _refusal(question: _Question, error: Exception) -> _Answer:
    return _Answer(question.id, (), pack_error(error))


def _gone(cause: Any = None) -> AttemptInterruptedError:
    gone = AttemptInterruptedError(
        "its state cannot be read any more: the partition went to another process, or the app stops"
    )
    gone.__cause__ = cause
    return gone
