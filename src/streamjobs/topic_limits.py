"""How large the records of each topic may be, learned before anything is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from streamjobs.broker.ports import Broker

__all__ = ("LARGEST_MESSAGE", "batches_that_fit", "largest_message", "topic_limits")

LARGEST_MESSAGE: Final = 1_000_000
"""Bytes that a producer takes unless its settings say otherwise (`message.max.bytes`)."""

_TIMEOUT: Final = 8.0
_COMPRESSION: Final = ("compression.type", "compression.codec")


def largest_message(producer_config: Mapping[str, Any]) -> int:
    """Bytes that a producer with these settings takes."""
    return int(producer_config.get("message.max.bytes", LARGEST_MESSAGE))


def topic_limits(
    broker: Broker, topics: Collection[str], producer_config: Mapping[str, Any]
) -> dict[str, int]:
    """The bytes of the largest record, of each topic that takes less than the producer.

    With compression nothing is known: the broker measures what comes out of it.
    """
    if any(producer_config.get(name, "none") != "none" for name in _COMPRESSION):
        return {}
    largest = largest_message(producer_config)
    told = broker.largest_batches(topics, _TIMEOUT)
    return {topic: limit for topic, limit in told.items() if limit < largest}


def batches_that_fit(
    producer_config: Mapping[str, Any], limits: Mapping[str, int]
) -> Mapping[str, Any]:
    """Settings of a producer that puts no more into a batch than the narrowest topic takes: a
    broker measures batches, so that many small records could be refused together.
    """
    if not limits:
        return producer_config
    given = int(producer_config.get("batch.size", LARGEST_MESSAGE))
    return {**producer_config, "batch.size": max(1, min(given, *limits.values()))}
