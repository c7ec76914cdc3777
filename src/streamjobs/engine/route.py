"""How the engine treats the records of one topic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from streamjobs.engine.effects import Effects
from streamjobs.engine.failure import Backoff
from streamjobs.engine.slices import Slice
from streamjobs.policies import VirtualPartitions
from streamjobs.record import Record

__all__ = ("ExecutionKind", "Invoke", "OrderingKey", "Route")

ExecutionKind = Literal["inline", "threads", "asyncio"]

OrderingKey = Callable[[Record], bytes | None]
"""The ordering key of a record; None for no order. May raise: then that record alone fails."""

Invoke = Callable[[Slice, int], Effects | Awaitable[Effects | None] | None]
"""Attempt the record at an index of a slice; awaitable with the execution kind "asyncio".
Raises what the handler raises, and UndecodableRecordError."""


@dataclass(frozen=True, slots=True)
class Route:
    """One topic, what order is kept for its records, and what runs them.

    `ordering_key` None stands for the message key, which the engine then reads by itself.
    `max_message_bytes` is what the producer takes (`message.max.bytes`, librdkafka's default).
    """

    topic: str
    virtual_partitions: VirtualPartitions
    execution: ExecutionKind
    invoke: Invoke
    ordering_key: OrderingKey | None = None
    failures: Backoff = field(default_factory=Backoff)
    max_message_bytes: int = 1_000_000
