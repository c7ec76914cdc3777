"""The tuned consumer of confluent-kafka, which the hand-written peers share."""

from collections.abc import Callable, Iterator, Sequence

from confluent_kafka import Consumer, Message, TopicPartition

from benchmarks.peers.common import Run
from benchmarks.peers.task import Task

MANY = 1000


def consumer_config(task: Task) -> dict[str, object]:
    return {
        "bootstrap.servers": task.broker,
        "group.id": task.group,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": task.session_ms,
        "fetch.queue.backoff.ms": 10,
        "enable.auto.commit": False,
    }


def batches(run: Run, commit: Callable[[Consumer], object]) -> Iterator[Sequence[Message]]:
    """What the consumer has, up to 1,000 records at a time, until the run is over."""
    consumer = Consumer(consumer_config(run.task))
    consumer.subscribe([run.task.topic])
    try:
        while not run.over.is_set():
            batch = consumer.consume(MANY, 0)
            if not batch:
                one = consumer.poll(0.05)
                batch = [one] if one is not None else []
            usable = [each for each in batch if each.error() is None]
            if usable:
                yield usable
            commit(consumer)
    finally:
        consumer.close()


class Frontier:
    """Offsets complete in any order, and the first one of each partition that is not."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._above: dict[int, set[int]] = {}

    def began(self, partition: int, offset: int) -> None:
        self._next.setdefault(partition, offset)
        self._above.setdefault(partition, set())

    def done(self, partition: int, offset: int) -> None:
        above, first = self._above[partition], self._next[partition]
        above.add(offset)
        while first in above:
            above.remove(first)
            first += 1
        self._next[partition] = first

    def offsets(self, topic: str) -> list[TopicPartition]:
        """What to commit."""
        return [TopicPartition(topic, number, first) for number, first in self._next.items()]
