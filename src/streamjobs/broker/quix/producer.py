"""Writing records, over Quix's producer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from streamjobs.broker import ports
from streamjobs.broker.ports import Delivery
from streamjobs.broker.quix.client import QUIET, ConnectionConfig, KafkaException, Producer, logger
from streamjobs.broker.quix.errors import (
    REFUSALS,
    UNKNOWN,
    client_error,
    error_of,
    text_of,
    unavailable,
)
from streamjobs.broker.quix.settings import producer_settings
from streamjobs.errors import DeliveryError

__all__ = ("QuixProducer",)

LOOK_UP_WITHIN: Final = 5.0
FULL_FOR: Final = 60.0

ANYWHERE: Final = -1  # the partitioner chooses
UNWRITTEN: Final = -1

Done = Callable[[Delivery], None]


class WritingClient(Producer):
    """Quix's producer with what its `produce` does not do: it calls delivery callbacks in the
    thread that sends, once a message, and waits for 30 s and more when the queue is full.
    """

    def __init__(
        self,
        connection: ConnectionConfig,
        settings: dict[str, Any],
        on_error: Callable[[Any], None],
    ) -> None:
        super().__init__(
            broker_address=connection,
            logger=QUIET,  # type: ignore[arg-type]  # the client only calls its `log`
            error_callback=on_error,
            extra_config=settings,
        )
        # Not when it is first used: two threads would make two, and settings are refused here.
        self.queue: Callable[..., None] = self._producer.produce
        self.look_up: Callable[..., Any] = self._producer.list_topics


class QuixProducer(ports.Producer):
    """Idempotent, acknowledged by all replicas, and partitioned as Kafka's own client does it."""

    def __init__(
        self, address: str, connection: ConnectionConfig, extra: Mapping[str, Any]
    ) -> None:
        settings = producer_settings(extra)
        self._address = address
        self._complained = False
        try:
            self._client = WritingClient(connection, settings, self._on_error)
        except KafkaException as error:
            raise client_error(address, "producer_config", error) from None
        self._deliveries: deque[tuple[Done, Delivery]] = deque()
        self._known: set[str] = set()

    def _on_error(self, error: Any) -> None:
        """Trouble with a connection librdkafka mends itself; what it cannot mend is said once. The
        messages fail one by one.
        """
        if (error.fatal() or error.code() in REFUSALS) and not self._complained:
            self._complained = True
            logger.error("%s", unavailable(self._address, error))

    def send(self, message: ports.Message, done: Done | None = None) -> None:
        topic, value, key, headers, partition = message
        if topic not in self._known:
            self._look_up(topic)
        report = self._unasked if done is None else partial(self._reported, done)
        where = ANYWHERE if partition is None else partition
        queue = partial(self._client.queue, topic, value, key, where, report)
        if headers:
            queue = partial(queue, headers=list(headers))
        try:
            try:
                queue()
            except BufferError:
                self._wait_for_room(topic, queue)
        except KafkaException as error:
            raise _refused(topic, error_of(error)) from None

    def _wait_for_room(self, topic: str, queue: Callable[[], None]) -> None:
        """Polling makes room. It calls nobody here: see `_reported`."""
        deadline = time.monotonic() + FULL_FOR
        while time.monotonic() < deadline:
            self._client.poll(0.1)
            try:
                queue()
            except BufferError:
                continue
            return
        raise DeliveryError(
            f"topic {topic!r}: the queue of unsent messages has been full for "
            f"{FULL_FOR:.0f} s; is Kafka there?"
        )

    def _look_up(self, topic: str) -> None:
        """Refuse the first message to a topic that is missing: librdkafka would keep it for half a
        minute. Without an answer let it pass; its delivery report will tell.
        """
        try:
            error = self._client.look_up(topic, timeout=LOOK_UP_WITHIN).topics[topic].error
        except KafkaException:
            error = None
        if error is not None and error.code() in UNKNOWN:
            raise _refused(topic, error)
        self._known.add(topic)

    def _reported(self, done: Done, error: Any, message: Any) -> None:
        """The client's callback. It may come in any thread that waits for room in `send`, so `done`
        is left for the thread that polls.
        """
        text = None if error is None else text_of(error)
        offset = UNWRITTEN if error is not None else message.offset()
        delivery = Delivery(message.topic(), message.partition(), offset, text)
        self._deliveries.append((done, delivery))

    def _unasked(self, error: Any, message: Any) -> None:
        if error is not None:
            logger.error("a record for %s was not written: %s", message.topic(), text_of(error))

    def poll(self, timeout: float) -> None:
        self._client.poll(0 if self._deliveries else timeout)
        self._deliver()

    def flush(self, timeout: float) -> int:
        left = self._client.flush(timeout)
        self._deliver()
        return left

    def _deliver(self) -> None:
        while self._deliveries:
            try:
                done, delivery = self._deliveries.popleft()
            except IndexError:  # another thread was faster
                return
            done(delivery)


def _refused(topic: str, error: Any) -> DeliveryError:
    hint = f"; is there a topic {topic!r}?" if error.code() in UNKNOWN else ""
    return DeliveryError(f"topic {topic!r}: {text_of(error)}{hint}")
