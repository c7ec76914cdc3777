"""Records for a simulation whose user wrote no workload: arguments by their annotations."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from random import Random
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError

from streamjobs.app import App
from streamjobs.broker.ports import Message
from streamjobs.errors import ConfigurationError, InvalidArgumentsError
from streamjobs.jobs import Job
from streamjobs.routes import Topic
from streamjobs.values import encode_value

__all__ = ("random_value", "typed_workload")

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)

_SIMPLE: Final[Mapping[Any, Callable[[Random], Any]]] = {
    int: lambda random: random.randrange(8),
    float: lambda random: round(random.uniform(-10, 10), 2),
    bool: lambda random: random.random() < 0.5,
    str: lambda random: random.choice("abcde"),
    bytes: lambda random: random.choice((b"", b"a", b"\xff\x00")),
    Decimal: lambda random: Decimal(random.randrange(1000)) / 100,
    datetime: lambda random: _START + timedelta(seconds=random.randrange(86_400)),
    date: lambda random: _START.date() + timedelta(days=random.randrange(30)),
    timedelta: lambda random: timedelta(seconds=random.randrange(3600)),
    UUID: lambda random: UUID(int=random.randrange(8)),
    type(None): lambda random: None,
    Any: lambda random: random.randrange(8),
}
"""Small ranges: keys should come back."""


def typed_workload(app: App, random: Random, records: int) -> list[Message]:
    """Enqueues calls of the app's jobs, and returns records for its streams.

    Raises:
        ConfigurationError: an annotation is too much for it; write a workload then.
    """
    topics = list(app.topics.values())
    return [message for _ in range(records) for message in _one(random.choice(topics), random)]


def _one(topic: Topic, random: Random) -> list[Message]:
    if topic.stream is None:
        _call(random.choice(list(topic.jobs.values())), random)
        return []
    key = random.choice((None, *(f"k{number}".encode() for number in range(5))))
    return [Message(topic.name, _stream_value(topic.stream.value, random), key)]


def _call(job: Job[..., Any], random: Random) -> None:
    hints = get_type_hints(job.function, include_extras=True)
    try:
        arguments = {name: random_value(hints.get(name, Any), random) for name in job.parameters}
        job.enqueue(**arguments)
    except (ConfigurationError, InvalidArgumentsError, ValidationError) as error:
        raise ConfigurationError(
            f"arguments of job {job.name!r} cannot be made up: {error}; give simulate a workload "
            "that makes its own"
        ) from error


def _stream_value(kind: Any, random: Random) -> bytes | None:
    if kind in ("bytes", "str"):
        return random.choice((b"a", b"b", b"c"))
    if kind == "json":
        return encode_value({"n": random.randrange(8)})
    try:
        value = random_value(kind, random)
        return orjson.dumps(value) if isinstance(value, str) else encode_value(value)
    except (ConfigurationError, ValidationError) as error:
        raise ConfigurationError(
            f"records of type {kind!r} cannot be made up: {error}; give simulate a workload that "
            "writes its own"
        ) from error


def random_value(hint: Any, random: Random) -> Any:
    """A value that an annotation allows.

    Raises:
        ConfigurationError: none is known for it.
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return random_value(args[0], random)
    if origin in (Union, types.UnionType):
        return random_value(random.choice(args), random)
    if origin is Literal:
        return random.choice(args)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return random.choice(list(hint))
    for simple, make in _SIMPLE.items():
        if hint is simple:
            return make(random)
    return _composed(hint, origin or hint, args, random)


def _composed(hint: Any, origin: Any, args: tuple[Any, ...], random: Random) -> Any:
    if isinstance(origin, type):
        if issubclass(origin, BaseModel):
            fields = {name: field.annotation for name, field in origin.model_fields.items()}
            return origin(**{name: random_value(each, random) for name, each in fields.items()})
        if dataclasses.is_dataclass(origin):
            hints = get_type_hints(origin, include_extras=True)
            names = [field.name for field in dataclasses.fields(origin) if field.init]
            return origin(**{name: random_value(hints[name], random) for name in names})
        if issubclass(origin, Mapping):
            key, value = args or (str, int)
            return {random_value(key, random): random_value(value, random) for _ in range(2)}
        if issubclass(origin, tuple) and args and args[-1] is not ...:
            return tuple(random_value(each, random) for each in args)
        if issubclass(origin, list | tuple | set | frozenset):
            return origin(random_value((args or (int,))[0], random) for _ in range(2))
    raise ConfigurationError(f"no random value is known for {hint!r}")
