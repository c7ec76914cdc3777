"""Records to topics and from them, on a Kafka in memory or a real one, with an app in between."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import structlog

from streamjobs import App
from streamjobs.broker.memory import MemoryBroker
from streamjobs.broker.ports import Delivery, Message, TopicPartition

WITHIN: Final = 30.0
"""Seconds a broker may take to answer."""


class Sent(NamedTuple):
    """A record to be written; its value becomes JSON."""

    key: str
    value: Any


@contextmanager
def kafka(app: App, broker: str | None, partitions: int = 4) -> Iterator[None]:
    """Let the app work on the Kafka at this address, or on one in memory. Only warnings are logged.

    Args:
        app: which one.
        broker: the address; None for memory.
        partitions: how many new topics have.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    app.override(broker=broker, partitions=partitions)
    if broker is None:
        with TemporaryDirectory() as folder, app.on(MemoryBroker()):
            app.override(state_dir=folder)  # state on a disk would outlive the Kafka it is of
            yield
    else:
        try:
            yield
        finally:
            app.close()


def write(app: App, topics: Mapping[str, Iterable[Sent]]) -> None:
    """Write these records to these topics, which are made where they are missing.

    Raises:
        RuntimeError: one did not arrive.
    """
    app.publisher.topics.ensure([*topics])
    producer = app.broker.producer({})
    for topic, records in topics.items():
        for key, value in records:
            producer.send(Message(topic, json.dumps(value).encode(), key.encode()), _arrived)
            producer.poll(0)
    if producer.flush(WITHIN):
        raise RuntimeError("the broker did not take all records")


def _arrived(delivery: Delivery) -> None:
    if delivery.error is not None:
        raise RuntimeError(f"a record did not arrive: {delivery.error}")


def read(app: App, topic: str) -> list[Any]:
    """The values of all that is on a topic now."""
    return [json.loads(value) for value in _read(app, topic) if value is not None]


def _read(app: App, topic: str) -> Iterator[bytes | None]:
    reader = app.broker.reader({})
    try:
        for number in range(app.broker.topics(WITHIN)[topic]):
            place = TopicPartition(topic, number)
            reader.seek(place, 0)
            while not reader.at_end(place):
                for batch in reader.poll(5_000, 1.0):
                    yield from (record.value for record in batch.records)
            reader.stop(place)
    finally:
        reader.close()
