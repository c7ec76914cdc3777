"""How the engine treats the records of one topic."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from streamjobs.broker.ports import Message
from streamjobs.engine.effects import Effects
from streamjobs.engine.failure import Backoff, Failures
from streamjobs.engine.slices import Slice
from streamjobs.errors import DeliveryError
from streamjobs.failures.breaker import Breaker
from streamjobs.policies import VirtualPartitions
from streamjobs.record import Record

__all__ = ("Downstream", "ExecutionKind", "Invoke", "OrderingKey", "Route")

OVERHEAD: Final = 512
"""Bytes allowed for headers and the record's frame."""

ExecutionKind = Literal["inline", "threads", "asyncio", "processes"]

OrderingKey = Callable[[Record], bytes | None]
"""The ordering key of a record; None for no order. May raise: then that record alone fails."""

Invoke = Callable[[Slice, int], Effects | Awaitable[Effects | None] | None]
"""Attempt the record at an index of a slice; awaitable with the execution kind "asyncio".
Raises what the handler raises, and UndecodableRecordError."""


Downstream = Callable[[Slice, int, Effects], None]
"""What comes behind a handler, on the owner's thread, when it is done with the record at an index:
adds to its effects. May raise: then the attempt has failed."""

Handler = Callable[[Record], tuple[str, float | None]]
"""The name of the handler of a record, and the timeout of its attempts."""


@dataclass(frozen=True, slots=True)
class Route:
    """One topic, what order is kept for its records, and what runs them.

    `sequenced_by` is the dead-letter topic whose letters hold back later records of their keys.
    `changelogs` are the topics of the changes of its stores, by the store's name. `transactional`
    says that what its handlers write belongs to the transaction that commits their progress.
    `ordering_key` None stands for the message key, which the engine then reads by itself.
    `max_message_bytes` is what the producer takes (`message.max.bytes`, librdkafka's default);
    `topic_limits` has the topics that are known to take less (`max.message.bytes`). `app` is whose
    handlers these are. `downstream` is what the owner runs when a handler is done.
    `together` are the topics, this one included, whose records run in the order of their
    timestamps, partition by partition, and which share stores; none where it stands alone. `homes`
    are the stores of operators, and for each the topic whose store it is.
    `wall` says when values of state are over, in seconds since 1970.
    """

    topic: str
    virtual_partitions: VirtualPartitions
    execution: ExecutionKind
    invoke: Invoke
    ordering_key: OrderingKey | None = None
    failures: Failures = field(default_factory=Backoff)
    breaker: Breaker | None = None
    max_message_bytes: int = 1_000_000
    sequenced_by: str | None = None
    changelogs: Mapping[str, str] = field(default_factory=dict)
    transactional: bool = False
    topic_limits: Mapping[str, int] = field(default_factory=dict)
    app: Any = None
    downstream: Downstream | None = None
    together: frozenset[str] = frozenset()
    homes: Mapping[str, str] = field(default_factory=dict)
    wall: Callable[[], float] = time.time
    handler: Handler = field(default_factory=lambda: lambda _: ("", None))

    def largest(self, topic: str) -> int:
        """The bytes that a record for this topic may have, as far as that is known."""
        return min(self.max_message_bytes, self.topic_limits.get(topic, self.max_message_bytes))

    def refuse_too_large(self, message: Message) -> None:
        """Refuse what the broker would.

        Raises:
            DeliveryError: it is larger than the producer or its topic takes.
        """
        size = len(message.value or b"") + len(message.key or b"") + OVERHEAD
        limit = self.largest(message.topic)
        if size > limit:
            raise DeliveryError(
                f"a record of {size:,} bytes for {message.topic!r} is larger than what it takes "
                f"({limit:,}); raise message.max.bytes in producer_config and "
                "max.message.bytes of the topic, or write less"
            )

    def name_of(self, record: Record) -> str:
        """What logs call the handler of this record."""
        return self.handler(record)[0]

    def timeout_of(self, record: Record) -> float | None:
        """Seconds that an attempt of this record may take."""
        return self.handler(record)[1]
