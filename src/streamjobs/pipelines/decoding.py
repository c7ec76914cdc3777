"""From a record to the rows that operators take, as Quix's topic would read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from streamjobs.errors import UndecodableRecordError
from streamjobs.pipelines.quix import (
    BytesDeserializer,
    IgnoreMessage,
    JSONDeserializer,
    MessageField,
    SerializationContext,
    SerializationError,
    TimestampType,
    Topic,
    loads,
)
from streamjobs.record import Record

__all__ = ("Row", "Rows", "rows_of")

Row = tuple[Any, Any, int, Any]
"""Value, key, timestamp in milliseconds, headers."""

Rows = Callable[[Record], Iterable[Row]]
"""The rows of a record, mostly one. Raises UndecodableRecordError."""


def rows_of(topic: Topic) -> Rows:
    """How records of this topic are read."""
    value, key = topic._value_deserializer, topic._key_deserializer
    if _is_plain_json(value) and type(key) is BytesDeserializer and not topic._timestamp_extractor:
        return _plain
    return _Reader(topic)


def _is_plain_json(deserializer: Any) -> bool:
    return (
        type(deserializer) is JSONDeserializer
        and deserializer._loads is loads
        and deserializer._validator is None
        and deserializer._schema_registry_deserializer is None
    )


def _plain(record: Record) -> Iterable[Row]:
    """JSON under a key of bytes, which is what topics mostly are: at a third of the cost."""
    value = record.value
    try:
        decoded = None if value is None else loads(value)
    except ValueError as error:
        raise UndecodableRecordError(f"the value is no JSON: {error}") from error
    return ((decoded, record.key, record.timestamp, list(record.headers)),)


class _Reader:
    """By the deserializers of the topic."""

    def __init__(self, topic: Topic) -> None:
        self._value = topic._value_deserializer
        self._key = topic._key_deserializer
        self._extract = topic._timestamp_extractor

    def __call__(self, record: Record) -> Iterable[Row]:
        headers: Any = list(record.headers)
        try:
            key = self._read(self._key, record, record.key, MessageField.KEY, headers)
            value = self._read(self._value, record, record.value, MessageField.VALUE, headers)
            split = value is not None and self._value.split_values
            return [
                (each, key, self._timestamp(each, headers, record), headers)
                for each in (value if split else (value,))
            ]
        except IgnoreMessage:
            return ()
        except (SerializationError, UnicodeDecodeError) as error:
            raise UndecodableRecordError(f"{record.id} cannot be read: {error}") from error

    def _read(
        self, read: Any, record: Record, raw: bytes | None, field: MessageField, headers: Any
    ) -> Any:
        if raw is None:
            return None
        return read(value=raw, ctx=SerializationContext(record.topic, field, headers))

    def _timestamp(self, value: Any, headers: Any, record: Record) -> int:
        if self._extract is None:
            return record.timestamp
        return self._extract(value, headers, record.timestamp, TimestampType.TIMESTAMP_CREATE_TIME)
