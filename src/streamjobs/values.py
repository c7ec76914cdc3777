"""Values of stream records: from bytes to what a handler takes, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, get_origin

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from streamjobs.broker.quix.values import is_deserializer
from streamjobs.errors import ConfigurationError, UndecodableRecordError
from streamjobs.record import Record

__all__ = ("Decoder", "decoder_for", "encode_rich", "encode_value")

Decoder = Callable[[Record], Any]
"""The value of a record. Raises UndecodableRecordError."""


def encode_value(value: Any) -> bytes | None:
    """Bytes as they are, str as UTF-8, None as a tombstone, anything else as JSON.

    Raises:
        TypeError: the value has no JSON form.
    """
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    try:
        return orjson.dumps(value)
    except TypeError:
        return encode_rich(value)


def encode_rich(value: Any) -> bytes:
    """What orjson does not know: pydantic models, Decimal, bytes inside (as base64), sets, ...

    Raises:
        TypeError: the value has no JSON form.
    """
    try:
        return to_json(value, bytes_mode="base64", inf_nan_mode="strings")
    except (PydanticSerializationError, ValueError) as error:
        raise TypeError(
            f"a value of type {type(value).__name__} cannot be written as JSON: {error}"
        ) from None


def decoder_for(kind: Any, topic: str) -> Decoder:
    """The decoder that `@app.stream(topic, value=kind)` asks for.

    Raises:
        ConfigurationError: it is none of "bytes", "json", "str", a type, or a Quix deserializer.
    """
    if kind == "bytes":
        return _decode_bytes
    if kind == "json":
        return _decode_json
    if kind == "str":
        return _decode_text
    if isinstance(kind, type) or get_origin(kind) is not None:
        return _decode_as(kind)
    if is_deserializer(kind):
        return _decode_with_quix(kind)
    raise ConfigurationError(
        f"stream on {topic!r}: value={kind!r} is none of "
        '"bytes", "json", "str", a dataclass, a pydantic model, another type, '
        "or a Quix deserializer"
    )


def _decode_bytes(record: Record) -> bytes | None:
    return record.value


def _decode_json(record: Record) -> Any:
    value = record.value
    if value is None:
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise UndecodableRecordError(f"the value is not JSON: {error}") from None


def _decode_text(record: Record) -> str | None:
    try:
        return None if record.value is None else record.value.decode()
    except UnicodeDecodeError as error:
        raise UndecodableRecordError(f"the value is not UTF-8: {error}") from None


def _decode_as(kind: Any) -> Decoder:
    adapter = TypeAdapter(kind)
    name = getattr(kind, "__name__", str(kind))

    def decode(record: Record) -> Any:
        value = record.value
        if value is None:
            return None
        try:
            return adapter.validate_json(value)
        except ValidationError as error:
            raise UndecodableRecordError(f"the value is no {name}: {explain(error)}") from None

    return decode


def explain(error: ValidationError) -> str:
    """Pydantic's problems in one line, without the input (it may be long, or a secret)."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'value'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    )


def _decode_with_quix(deserializer: Any) -> Decoder:
    """Quix is imported when the first record comes: declaring a stream costs nothing."""
    decode: Callable[[Record], Iterable[Any]] | None = None

    def values(record: Record) -> SeveralValues:
        nonlocal decode
        if decode is None:
            from streamjobs.broker.quix.values import decoder

            decode = decoder(deserializer)
        return SeveralValues(decode(record))

    return values


@dataclasses.dataclass(frozen=True, slots=True)
class SeveralValues:
    """A Quix deserializer may find none (it ignores the record), one, or several values."""

    values: Iterable[Any]
