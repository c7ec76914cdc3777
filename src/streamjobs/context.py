"""What a handler is told about its attempt, and what it may do besides returning."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from streamjobs.broker.ports import Message
from streamjobs.engine.effects import Effects
from streamjobs.engine.slices import RUNNING, Slice
from streamjobs.errors import ConfigurationError, DeliveryError
from streamjobs.partitioning import key_bytes
from streamjobs.record import Header, Record
from streamjobs.values import encode_value

if TYPE_CHECKING:
    from streamjobs.calls import JobCall

__all__ = ("Context", "current_context")

_OVERHEAD: Final = 512
"""Bytes allowed for headers and the record's frame."""


class Context:
    """One attempt of one record. A stream handler gets it as its second argument; a job asks
    `current_context()` for it.

    Attributes:
        record: the Kafka record: topic, partition, offset, key, value, headers, timestamp, id.
        attempt: 1 the first time, 2 after one failure, ...
        job: name, id and arguments of the job; None in a stream handler.
        effects: what the attempt did so far; None if nothing.
    """

    __slots__ = ("_slice", "attempt", "effects", "job", "record")

    def __init__(self, piece: Slice, index: int, job: JobCall | None = None) -> None:
        self._slice = piece
        self.record: Record = piece.records[index]
        self.attempt = piece.attempt(index)
        self.job = job
        self.effects: Effects | None = None

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
            DeliveryError: the record is larger than the producer takes.
            TypeError: the value has no JSON form.
        """
        encoded = encode_value(value)
        message = Message(
            topic,
            encoded,
            self.record.key if key is ... else key_bytes(key),
            _header_pairs(headers),
        )
        size = len(encoded or b"") + len(message.key or b"") + _OVERHEAD
        limit = self._slice.generation.route.max_message_bytes
        if size > limit:
            raise DeliveryError(
                f"a record of {size:,} bytes for {topic!r} is larger than the producer takes "
                f"({limit:,}); raise message.max.bytes in producer_config and "
                "max.message.bytes of the topic, or emit less"
            )
        if self.effects is None:
            self.effects = Effects()
        self.effects.emits.append(message)


def current_context() -> Context:
    """The context of the attempt that runs here.

    Raises:
        ConfigurationError: nothing runs here: the function was called directly, or in a thread
            that the handler started (copy its context there: `contextvars.copy_context`).
    """
    piece = RUNNING.get()
    if piece is None:
        raise ConfigurationError(
            "there is no current context: this code does not run inside of an attempt. A job "
            "called as a plain function has none; a thread that a handler starts needs its "
            "context handed over: contextvars.copy_context().run"
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
    return RUNNING.get() is not None


def _header_pairs(headers: Mapping[str, str | bytes] | Sequence[Header]) -> Sequence[Header]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name, text.encode() if isinstance(text, str) else text) for name, text in pairs]
