"""A broker's client that dies: at a call of its own choice, with records on their way."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamjobs.broker.ports import (
    Batch,
    Broker,
    Consumer,
    ConsumerOptions,
    Delivery,
    Listener,
    LogRange,
    Message,
    Producer,
    Reader,
    TopicPartition,
    TopicSpec,
)

Done = Callable[[Delivery], None]


class Killed(BaseException):
    """No code of ours may survive this."""


class Life:
    """How many calls there are still to be made.

    Args:
        calls: after so many the process is dead; None for a long life.
        dice: what of the records on their way still arrives.
    """

    def __init__(self, calls: int | None, dice: random.Random) -> None:
        self._left = calls
        self._dice = dice
        self.producers: list[MortalProducer] = []

    def call(self) -> None:
        """One call; the last one kills."""
        if self._left is None:
            return
        if not self._left:
            for producer in self.producers:
                producer.die(self._dice)
            raise Killed
        self._left -= 1


class MortalBroker(Broker):
    """Passes everything on to another one, until its life is over."""

    def __init__(self, broker: Broker, life: Life) -> None:
        self._broker = broker
        self._life = life

    @property
    def address(self) -> str:
        return self._broker.address

    def topics(self, timeout: float) -> Mapping[str, int]:
        self._life.call()
        return self._broker.topics(timeout)

    def create_topics(self, topics: Sequence[TopicSpec], timeout: float) -> None:
        self._life.call()
        self._broker.create_topics(topics, timeout)

    def consumer(self, options: ConsumerOptions, listener: Listener) -> Consumer:
        raise AssertionError("a replay joins no group")

    def producer(self, extra: Mapping[str, Any]) -> Producer:
        return MortalProducer(self._broker.producer(extra), self._life)

    def reader(self, extra: Mapping[str, Any]) -> Reader:
        return MortalReader(self._broker.reader(extra), self._life)

    def delete_records(self, before: Mapping[TopicPartition, int], timeout: float) -> None:
        self._life.call()
        self._broker.delete_records(before, timeout)

    def close(self) -> None:
        self._broker.close()


class MortalProducer(Producer):
    """Sends when it is flushed. In death, some of what was queued arrives: of each partition the
    first ones, in their order.
    """

    def __init__(self, producer: Producer, life: Life) -> None:
        self._producer = producer
        self._life = life
        self._queue: list[tuple[Message, Done | None]] = []
        life.producers.append(self)

    def send(self, message: Message, done: Done | None = None) -> None:
        self._life.call()
        self._queue.append((message, done))

    def poll(self, timeout: float) -> None:
        self._life.call()
        self._producer.poll(timeout)

    def flush(self, timeout: float) -> int:
        self._life.call()
        queue, self._queue = self._queue, []
        for message, done in queue:
            self._producer.send(message, done)
        left = self._producer.flush(timeout)
        self._life.call()  # all has arrived, and the process never learns it
        return left

    def die(self, dice: random.Random) -> None:
        """Let some of it arrive."""
        arriving = {(message.topic, message.partition): True for message, _ in self._queue}
        for message, _ in self._queue:
            place = message.topic, message.partition
            arriving[place] = arriving[place] and dice.random() < 0.7
            if arriving[place]:
                self._producer.send(message)
        self._queue.clear()


class MortalReader(Reader):
    """Every call may be its last."""

    def __init__(self, reader: Reader, life: Life) -> None:
        self._reader = reader
        self._life = life

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._life.call()
        self._reader.seek(partition, offset)

    def stop(self, partition: TopicPartition) -> None:
        self._reader.stop(partition)

    def poll(self, limit: int, timeout: float) -> Sequence[Batch]:
        self._life.call()
        return self._reader.poll(limit, timeout)

    def at_end(self, partition: TopicPartition) -> bool:
        return self._reader.at_end(partition)

    def range(self, partition: TopicPartition, timeout: float) -> LogRange:
        self._life.call()
        return self._reader.range(partition, timeout)

    def close(self) -> None:
        self._reader.close()
