"""What a handler is told about its attempt, and what it may do besides returning."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from streamjobs import headers as header_names
from streamjobs.broker.ports import Message
from streamjobs.engine.effects import Effects
from streamjobs.engine.slices import RUNNING, Slice
from streamjobs.engine.store_views import view_of
from streamjobs.errors import (
    AttemptInterruptedError,
    AttemptTimeoutError,
    ConfigurationError,
)
from streamjobs.partitioning import key_bytes
from streamjobs.record import Header, Record
from streamjobs.state.typed import TypedState
from streamjobs.state.view import State, UnusableState, not_declared
from streamjobs.values import encode_value

if TYPE_CHECKING:
    from streamjobs.calls import JobCall

__all__ = ("Context", "current_context")

T = TypeVar("T")


class Context:
    """One attempt of one record. A stream handler gets it as its second argument; a job asks
    `current_context()` for it.

    Attributes:
        record: the Kafka record: topic, partition, offset, key, value, headers, timestamp, id.
        attempt: 1 the first time, 2 after one failure, ...
        job: name, id and arguments of the job; None in a stream handler.
        effects: what the attempt did so far; None if nothing.
        began: when it began, by `time.monotonic`; with a `timeout` only.
    """

    __slots__ = (
        "_deadline",
        "_index",
        "_notes",
        "_slice",
        "_state",
        "attempt",
        "began",
        "effects",
        "job",
        "record",
    )

    def __init__(
        self,
        piece: Slice,
        index: int,
        job: JobCall | None = None,
        timeout: float | None = None,
    ) -> None:
        self._slice = piece
        self._index = index
        self._state: State | None = None
        self._notes: dict[str, Any] | None = None
        self._deadline: float | None = None
        if timeout is not None:
            self.began = time.monotonic()
            self._deadline = self.began + timeout
        self.record: Record = piece.records[index]
        self.attempt = piece.attempts.get(index, 1) if piece.attempts else 1
        self.job = job
        self.effects: Effects | None = None

    @property
    def state(self) -> State:
        """What is kept for this record's ordering key, in the handler's (first) store.

        Raises (when it is used):
            StateNotDeclaredError: the handler has none; add `state=True` to its decorator.
            StateNeedsKeyError: the record has no ordering key.
        """
        state = self._state
        if state is None:
            state = self._state = self.store()
        return state

    def store(self, name: str | None = None) -> State:
        """The same of a store by its name, for handlers that declare several."""
        piece = self._slice
        view = piece.views.get(name)
        if view is None:
            view = piece.views[name] = view_of(piece, name)
        store, ordering_key, read, now, limit = view
        if store is None:
            return self._no_store(name)
        effects = self.effects
        if effects is None:
            effects = self.effects = Effects()
        changes = effects.changes
        writes = changes.get(store)
        if writes is None:
            writes = changes[store] = {}
        record = self.record
        key = None
        if piece.orders[self._index] is not record:
            key = record.key if ordering_key is None else ordering_key(record)
        return State(key, read, writes, now, limit)

    def _no_store(self, name: str | None) -> State:
        route = self._slice.generation.route
        handler = route.name_of(self.record)
        return UnusableState(not_declared(handler, name, list(route.changelogs)))

    def state_for(self, kind: type[T], name: str | None = None) -> TypedState[T]:
        """One value of `ctx.state` as a pydantic model, a dataclass or another type.

        Example:
            >>> account = ctx.state_for(Account)          # doctest: +SKIP
            >>> account.set(account.get(Account()).paid(7))
        """
        return self.state.typed(kind, name)

    @property
    def app(self) -> Any:
        """The app that the handler belongs to; None in tests of the engine alone."""
        return self._slice.generation.route.app

    @property
    def notes(self) -> dict[str, Any]:
        """For middleware: what it has to remember between `before_attempt` and `after_attempt`."""
        if self._notes is None:
            self._notes = {}
        return self._notes

    @property
    def traceparent(self) -> str | None:
        """The W3C trace that the record belongs to, if it says so."""
        carried = self.record.header(header_names.TRACEPARENT)
        return None if carried is None else carried.decode(errors="replace")

    @property
    def revoked(self) -> bool:
        """The partition went to another process (or is about to): what this attempt does from
        now on is not kept, and another attempt may run elsewhere. Stop soon.
        """
        return self._slice.generation.revoked

    @property
    def stopping(self) -> bool:
        """The app is shutting down: return within `shutdown_timeout`, or be run again."""
        return self._slice.generation.stopping

    @property
    def timed_out(self) -> bool:
        """This attempt has taken longer than its `timeout`: what it does is not kept, and it is
        attempted again (or given up) when it returns. Stop soon.
        """
        return self._deadline is not None and time.monotonic() > self._deadline

    @property
    def cursor(self) -> Any:
        """What `checkpoint` saved last for this record, by whichever attempt in whichever process;
        None if nothing was.
        """
        saved = self._slice.generation.cursors.get(self.record.offset)
        return None if saved is None else orjson.loads(saved)

    def checkpoint(self, cursor: Any) -> None:
        """Save how far this job has got: another attempt of it, here or elsewhere, finds the cursor
        in `ctx.cursor` and can go on there. It is kept until the record is over.

        A good moment to end early, too: saved first, then raised. Let it pass through.

        Args:
            cursor: anything with a JSON form, but None. Saved within milliseconds: what a crash in
                them costs is the way from the one before.

        Raises:
            AttemptInterruptedError: the app stops or the partition goes away. The attempt does not
                count as one; the record is run again where it is next.
            AttemptTimeoutError: the attempt has taken longer than its `timeout`.
            TypeError: the cursor has no JSON form.

        Example:
            >>> ctx = current_context()                       # doctest: +SKIP
            >>> for page in range(ctx.cursor or 0, pages):    # doctest: +SKIP
            ...     work_on(page)
            ...     ctx.checkpoint(page + 1)
        """
        if cursor is None:
            raise TypeError("a cursor is not None: that stands for the beginning")
        self._slice.generation.cursors.save(self.record, orjson.dumps(cursor))
        if self.revoked or self.stopping:
            raise AttemptInterruptedError(
                "the app stops" if self.stopping else "the partition goes to another process"
            )
        if self.timed_out:
            raise AttemptTimeoutError("the attempt has taken longer than its timeout")

    def emit(
        self,
        topic: str,
        value: Any,
        *,
        key: Any = ...,
        headers: Mapping[str, str | bytes] | Sequence[Header] = (),
    ) -> None:
        """Write a record to `topic` if this attempt succeeds.

        Args:
            topic: where to; created as the setting `topics` says if it is missing.
            value: bytes as they are, str as UTF-8, None as a tombstone, anything else as JSON.
            key: bytes, or anything with a `str`; None for none. Left out: this record's key.
            headers: names and values.

        Raises:
            DeliveryError: the record is larger than the producer or the topic takes.
            TypeError: the value has no JSON form.
        """
        self.write(
            Message(
                topic,
                encode_value(value),
                self.record.key if key is ... else key_bytes(key),
                _header_pairs(headers),
            )
        )

    def write(self, message: Message) -> None:
        """The same for a message that is made already, as `Job.enqueue` does.

        Raises:
            DeliveryError: it is larger than the producer or its topic takes.
        """
        self._slice.generation.route.refuse_too_large(message)
        if self.effects is None:
            self.effects = Effects()
        self.effects.emits.append(message)

    def flow_on(self, value: Any) -> None:
        """Hand a value to the pipeline behind this stream handler, as returning it does."""
        if self.effects is None:
            self.effects = Effects()
        if self.effects.flows is None:
            self.effects.flows = []
        record = self.record
        self.effects.flows.append((value, record.key, record.timestamp, list(record.headers)))


def current_context() -> Context:
    """The context of the attempt that runs here.

    Raises:
        ConfigurationError: nothing runs here: the function was called directly, or in a thread
            that the handler started (copy its context there: `contextvars.copy_context`).
    """
    piece = _running()
    if piece is None:
        raise ConfigurationError(
            "there is no current context: this code does not run inside of an attempt. A job "
            "called as a plain function has none, nor has what a handler left behind when it "
            "ended; a thread that a handler starts needs its context handed over: "
            "contextvars.copy_context().run"
        )
    if piece.context is None:
        piece.context = Context(piece, piece.current)
    context: Context = piece.context
    return context


def refuse_coroutine(result: object) -> None:
    """A plain function that returned a coroutine has done nothing yet, and nobody would await it.

    Raises:
        TypeError: it is one; so the attempt fails instead of counting as done.
    """
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError(
            "the handler is a plain function and returned a coroutine, so it has not run; "
            "declare it with `async def` (a decorator may have hidden that)"
        )


def inside_an_attempt() -> bool:
    """Whether a handler runs here."""
    return _running() is not None


def _running() -> Slice | None:
    """The slice whose attempt runs here. Tasks and threads that have outlived the last attempt of
    their slice still find it in their context: they are outside.
    """
    piece = RUNNING.get()
    return None if piece is None or piece.progress > piece.current else piece


def _header_pairs(headers: Mapping[str, str | bytes] | Sequence[Header]) -> Sequence[Header]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name, text.encode() if isinstance(text, str) else text) for name, text in pairs]
