"""The way out for `enqueue`: one producer for an app, served by a thread of its own."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import structlog

from streamjobs.broker.ports import Broker, Delivery, Message, Producer, TopicSpec
from streamjobs.errors import DeliveryError, StreamjobsError, TopicError
from streamjobs.settings import Settings

__all__ = ("EnsuringProducer", "Publisher", "Topics")

FLUSH_TIMEOUT: Final = 30.0
_METADATA_TIMEOUT: Final = 8.0
_FRESH: Final = 60.0

log = structlog.get_logger("streamjobs")


class Topics:
    """What is known about the cluster's topics; creates the missing ones, or refuses.

    Args:
        broker: where they are.
        settings: how they are created, and whether.
        like: by topic, others which it has to have as many partitions as, if it is created.
        config: by topic, Kafka's own settings of it, if it is created.
    """

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        like: Mapping[str, Sequence[str]] = MappingProxyType({}),
        config: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    ) -> None:
        self._broker = broker
        self._settings = settings
        self._like = like
        self._config = config
        self._partitions: dict[str, int] = {}
        self._asked = float("-inf")
        self._lock = threading.Lock()

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; at most a minute old.

        Raises:
            TopicError: it is missing and may not be created.
            BrokerUnavailableError: nobody answered.
        """
        with self._lock:
            if topic not in self._partitions or time.monotonic() - self._asked > _FRESH:
                self._ask()
            if topic not in self._partitions:
                self._create([topic])
            return self._partitions[topic]

    def ensure(self, topics: list[str]) -> dict[str, int]:
        """The same for several topics at once; what was created is logged."""
        with self._lock:
            self._ask()
            self._create([topic for topic in topics if topic not in self._partitions])
            return {topic: self._partitions[topic] for topic in topics}

    def have(self, topic: str) -> None:
        """See to it that the topic is there; asks the broker the first time only.

        Raises:
            TopicError, BrokerUnavailableError: as `partitions`.
        """
        if not self.knows(topic):
            self.partitions(topic)

    def look_for(self, topic: str) -> int:
        """How many partitions a topic has now; 0 if it is not there. Nothing is created.

        Raises:
            BrokerUnavailableError: nobody answered.
        """
        with self._lock:
            if topic not in self._partitions:
                self._ask()
            return self._partitions.get(topic, 0)

    def knows(self, topic: str) -> bool:
        """Whether the topic was there when we last looked: no question to the broker."""
        return topic in self._partitions

    def _ask(self) -> None:
        self._partitions = dict(self._broker.topics(_METADATA_TIMEOUT))
        self._asked = time.monotonic()

    def _create(self, missing: list[str]) -> None:
        if not missing:
            return
        if self._settings.topics == "require":
            raise TopicError(
                f"missing on {self._broker.address}: {', '.join(missing)}. Create them, or "
                'let streamjobs do it: topics="create"'
            )
        specs = [
            TopicSpec(
                topic,
                self._wanted(topic),
                self._settings.replication,
                self._config.get(topic, {}),
            )
            for topic in missing
        ]
        self._broker.create_topics(specs, _METADATA_TIMEOUT)
        deadline = time.monotonic() + _METADATA_TIMEOUT
        while any(topic not in self._partitions for topic in missing):
            self._ask()
            if time.monotonic() > deadline:
                raise TopicError(f"created {', '.join(missing)}, but the broker does not show it")
        log.info("topics created", topics={topic: self._partitions[topic] for topic in missing})

    def _wanted(self, topic: str) -> int:
        """How many partitions a new topic gets."""
        models = [self._partitions.get(model, 0) for model in self._like.get(topic, ())]
        return max(models, default=0) or self._settings.partitions


class EnsuringProducer(Producer):
    """Makes missing topics the first time something is written to them, and folds the partition
    of a dead letter into what its topic has.
    """

    def __init__(self, producer: Producer, topics: Topics) -> None:
        self._producer = producer
        self._topics = topics

    def poll(self, timeout: float) -> None:
        self._producer.poll(timeout)

    def flush(self, timeout: float) -> int:
        return self._producer.flush(timeout)

    def send(self, message: Message, done: Callable[[Delivery], None] | None = None) -> None:
        try:
            self._topics.have(message.topic)
        except StreamjobsError as error:
            raise DeliveryError(str(error)) from error
        if message.partition is not None:
            count = self._topics.partitions(message.topic)
            message = message._replace(partition=message.partition % count)
        self._producer.send(message, done)


class Publisher:
    """Sends from any thread. Its own thread serves acknowledgements, so that `wait` and `await`
    work everywhere; at the end of the program it waits for what is still on its way.
    """

    def __init__(self, producer: Producer, topics: Topics) -> None:
        self.topics = topics
        self._producer = producer
        self._stopped = False
        self._thread = threading.Thread(
            target=self._serve, name="streamjobs-publisher", daemon=True
        )
        self._thread.start()
        atexit.register(self.close)

    def send(self, message: Message, done: Callable[[Delivery], None]) -> None:
        """Queue one message, creating its topic if need be.

        Raises:
            StreamjobsError: it was refused; nothing was sent.
        """
        self.topics.have(message.topic)
        self._producer.send(message, done)

    def flush(self, timeout: float = FLUSH_TIMEOUT) -> int:
        """Wait for everything on its way; returns how much still is."""
        return self._producer.flush(timeout)

    def close(self) -> None:
        """Flush and end the thread; says so if something was not acknowledged."""
        if self._stopped:
            return
        self._stopped = True
        atexit.unregister(self.close)
        self._thread.join()
        left = self._producer.flush(FLUSH_TIMEOUT)
        if left:
            log.error("enqueued records were not acknowledged and may be lost", records=left)

    def _serve(self) -> None:
        while not self._stopped:
            self._producer.poll(0.05)
