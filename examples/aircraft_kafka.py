"""Flights to a Kafka and counts from it, as any other program would write and read them."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from examples.aircraft import COUNTS, TOPIC, Flight

Count = dict[str, Any]
"""A record of the topic of counts."""


def create(broker: str, topic: str, partitions: int) -> None:
    """Make the topic, unless it is there.

    Raises:
        KafkaException: it cannot be made.
    """
    admin = AdminClient({"bootstrap.servers": broker})
    try:
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(10)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def send(broker: str, flights: Iterable[Flight], topic: str = TOPIC) -> None:
    """Write a record for each flight, its aircraft being the key.

    Raises:
        KafkaException: one did not arrive.
    """
    producer = Producer({"bootstrap.servers": broker, "enable.idempotence": True, "linger.ms": 5})
    for flight in flights:
        producer.produce(topic, json.dumps(asdict(flight)), flight.aircraft, on_delivery=_arrived)
        producer.poll(0)
    producer.flush()


def _arrived(error: KafkaError | None, _message: Message) -> None:
    if error is not None:
        raise KafkaException(error)


def read_counts(broker: str) -> list[Count]:
    """What is committed on the topic of counts, from its beginning to its end.

    Raises:
        KafkaException: it cannot be read; perhaps no worker has made it yet.
    """
    reader = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": f"{TOPIC}-show",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        numbers = reader.list_topics(COUNTS, 10).topics[COUNTS].partitions
        reader.assign([TopicPartition(COUNTS, number, 0) for number in numbers])
        counts: list[Count] = []
        ends: set[int] = set()
        while len(ends) < len(numbers):
            for message in reader.consume(5000, 1.0):
                if message.error() is None:
                    counts.append(json.loads(message.value()))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    ends.add(message.partition())
                else:
                    raise KafkaException(message.error())
    finally:
        reader.close()
    return counts
