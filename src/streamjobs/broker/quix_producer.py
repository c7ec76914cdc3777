"""Writing records, over Quix's producer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from streamjobs.broker import ports
from streamjobs.broker.ports import Delivery
from streamjobs.broker.quix_client import QUIET, ConnectionConfig, KafkaException, Producer, logger
from streamjobs.broker.quix_errors import REFUSALS, UNKNOWN, client_error, error_of, unavailable
from streamjobs.broker.quix_settings import producer_settings
from streamjobs.errors import DeliveryError

__all__ = ("QuixProducer",)

LOOK_UP_WITHIN: Final = 5.0
FULL_FOR: Final = 60.0

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
        if message.topic not in self._known:
            self._look_up(message.topic)
        arguments: dict[str, Any] = {"on_delivery": partial(self._reported, done)}
        if message.headers:
            arguments["headers"] = list(message.headers)
        if message.partition is not None:
            arguments["partition"] = message.partition
        try:
            self._queue(message, arguments)
        except KafkaException as error:
            raise _refused(message.topic, error_of(error)) from None

    def _queue(self, message: ports.Message, arguments: Mapping[str, Any]) -> None:
        """Wait for room where there is none; polling makes it. It calls nobody: see `_reported`."""
        deadline = time.monotonic() + FULL_FOR
        while True:
            try:
                self._client.queue(message.topic, message.value, message.key, **arguments)
                return
            except BufferError:
                if time.monotonic() > deadline:
                    raise DeliveryError(
                        f"topic {message.topic!r}: the queue of unsent messages has been full "
                        f"for {FULL_FOR:.0f} s; is Kafka there?"
                    ) from None
                self._client.poll(0.1)

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

    def _reported(self, done: Done | None, error: Any, message: Any) -> None:
        """The client's callback. It may come in any thread that waits for room in `send`, so `done`
        is left for the thread that polls.
        """
        text = None if error is None else error.str()
        if done is None:
            if text is not None:
                logger.error("a record for topic %s was not written: %s", message.topic(), text)
            return
        offset = message.offset() if error is None else None
        delivery = Delivery(
            message.topic(), message.partition(), -1 if offset is None else offset, text
        )
        self._deliveries.append((done, delivery))

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
    return DeliveryError(f"topic {topic!r}: {error.str().removeprefix(_PREFIX)}{hint}")


_PREFIX = "Unable to produce message: "
