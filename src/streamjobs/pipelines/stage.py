"""The operators of one topic, composed: what an attempt of one of its records runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from streamjobs.engine.effects import Effects
from streamjobs.engine.slices import Slice

if TYPE_CHECKING:
    from streamjobs.pipelines.decoding import Row, Rows
    from streamjobs.pipelines.host import Host

__all__ = ("Executor", "Flow", "Inline")

Executor = Callable[[Any, Any, int, Any], None]
"""Operators, as Quix composes them: takes value, key, timestamp and headers."""


class Attempted(Protocol):
    """An attempt of the record at an index of a slice."""

    def __call__(self, piece: Slice, index: int) -> Effects | Awaitable[Effects | None] | None: ...


class Inline:
    """All operators run on the owner's thread, one record after the other."""

    def __init__(self, host: Host, rows: Rows, execute: Executor) -> None:
        self._host = host
        self._rows = rows
        self._execute = execute

    def __call__(self, piece: Slice, index: int) -> Effects | None:
        return self._host.attempt(piece, index, partial(self._run, piece, index))

    def _run(self, piece: Slice, index: int) -> None:
        for value, key, timestamp, headers in self._rows(piece.records[index]):
            self._execute(value, key, timestamp, headers)


class Flow:
    """What comes behind a parallel handler: runs on the owner's thread when the handler is done,
    with what it returned.
    """

    def __init__(self, host: Host, execute: Executor) -> None:
        self._host = host
        self._execute = execute

    def __call__(self, piece: Slice, index: int, effects: Effects) -> None:
        """Add to the effects of an attempt what the operators do with its results.

        Raises:
            Exception: what an operator raises; the attempt has failed then.
        """
        rows, effects.flows = effects.flows, None
        done = self._host.attempt(piece, index, partial(self._run, rows or ()))
        if done is not None:
            effects.emits += done.emits
            effects.changes |= done.changes
            if done.sinks is not None:
                effects.sinks = [*(effects.sinks or ()), *done.sinks]

    def _run(self, rows: Iterable[Row]) -> None:
        for value, key, timestamp, headers in rows:
            self._execute(value, key, timestamp, headers)
