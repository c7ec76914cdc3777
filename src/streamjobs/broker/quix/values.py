"""Quix's deserializers, for values of streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from streamjobs.errors import ConfigurationError, UndecodableRecordError
from streamjobs.record import Record

__all__ = ("decoder", "is_deserializer")


def is_deserializer(value: object) -> bool:
    """Is this an instance of a Quix deserializer? Answers without importing Quix: who has such an
    instance has imported it.
    """
    return any(
        kind.__module__.startswith("quixstreams.") and kind.__name__ == "Deserializer"
        for kind in type(value).__mro__
    )


def decoder(deserializer: Any) -> Callable[[Record], Iterable[Any]]:
    """The values of one record, by a Quix deserializer or one of its names ("json", "bytes",
    "str", "int", "double", "quix", ...): one, several where it splits values, none where it
    raises Quix's IgnoreMessage. A record without a value has the value None.

    The function it returns raises UndecodableRecordError where Quix has a SerializationError (or
    the bytes are no text).

    Raises:
        ConfigurationError: it is neither.
    """
    from streamjobs.broker.quix.client import (
        IgnoreMessage,
        MessageField,
        SerializationContext,
        SerializationError,
    )

    deserialize = _resolved(deserializer)

    def values(record: Record) -> Iterable[Any]:
        if record.value is None:
            return (None,)
        headers: Any = list(record.headers)
        context = SerializationContext(record.topic, MessageField.VALUE, headers)
        try:
            value = deserialize(value=record.value, ctx=context)
            if not deserialize.split_values:
                return (value,)
            return list(value)
        except IgnoreMessage:
            return ()
        except (SerializationError, ValueError) as error:  # "str" raises UnicodeDecodeError
            name = type(deserialize).__name__
            raise UndecodableRecordError(f"{name} cannot read the value: {error}") from error

    return values


def _resolved(deserializer: Any) -> Any:
    from streamjobs.broker.quix.client import DESERIALIZERS, Deserializer

    if isinstance(deserializer, Deserializer):
        return deserializer
    if isinstance(deserializer, str) and deserializer in DESERIALIZERS:
        return DESERIALIZERS[deserializer]()
    known = ", ".join(sorted(DESERIALIZERS))
    raise ConfigurationError(f"{deserializer!r} is no Quix deserializer, and none of {known}")
