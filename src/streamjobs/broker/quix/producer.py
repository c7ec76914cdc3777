"""Writing records, over Quix's producer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from streamjobs.broker import ports
from streamjobs.broker.ports import Delivery
from streamjobs.broker.quix.client import (
    QUIET,
    ConnectionConfig,
    KafkaError,
    KafkaException,
    Producer,
    logger,
)
from streamjobs.broker.quix.errors import (
    REFUSALS,
    TOO_LARGE,
    UNKNOWN,
    client_error,
    error_of,
    text_of,
    unavailable,
)
from streamjobs.errors import DeliveryError, MessageRefusedError, StreamjobsError

__all__ = ("QuixProducer",)

LOOK_UP_WITHIN: Final = 5.0
FULL_FOR: Final = 60.0

ANYWHERE: Final = -1  # the partitioner chooses
UNWRITTEN: Final = -1

Done = Callable[[Delivery], None]


class WritingClient(Producer):
    """Quix's producer with what its `produce` does not do: it calls delivery callbacks in the
    thread that sends, once a message, and waits for 30 s and more when the queue is full. (And
    without its transactions, which start when the client is made, for as long as that takes.)
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
        client: Any = self._producer
        self.queue: Callable[..., None] = client.produce
        self.look_up: Callable[..., Any] = client.list_topics
        self.init_transactions: Callable[[float], None] = client.init_transactions
        self.begin_transaction: Callable[[], None] = client.begin_transaction
        self.send_offsets_to_transaction: Callable[..., None] = client.send_offsets_to_transaction
        self.commit_transaction: Callable[[float], None] = client.commit_transaction
        self.abort_transaction: Callable[[float], None] = client.abort_transaction


class QuixProducer(ports.Producer):
    """Idempotent, acknowledged by all replicas, and partitioned as Kafka's own client does it."""

    def __init__(
        self, address: str, connection: ConnectionConfig, settings: dict[str, Any]
    ) -> None:
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
        messages fail one by one. (Who asks for no gaps knows what to do when there would be one.)
        """
        if error.code() == KafkaError._GAPLESS_GUARANTEE:
            return
        if (error.fatal() or error.code() in REFUSALS) and not self._complained:
            self._complained = True
            logger.error("%s", unavailable(self._address, error))

    def send(self, message: ports.Message, done: Done | None = None) -> None:
        topic, value, key, headers, partition, timestamp = message
        if topic not in self._known:
            self._look_up(topic)
        report = self._unasked if done is None else partial(self._reported, done)
        where = ANYWHERE if partition is None else partition
        more: dict[str, Any] = {"headers": list(headers)} if headers else {}
        if timestamp is not None:
            more["timestamp"] = timestamp
        try:
            try:
                self._client.queue(topic, value, key, where, report, **more)
            except BufferError:
                queue = partial(self._client.queue, topic, value, key, where, report, **more)
                self._wait_for_room(topic, queue)
        except KafkaException as error:
            raise self._refusal(topic, error_of(error)) from None

    def _wait_for_room(self, topic: str, queue: Callable[[], None]) -> None:
        """Polling makes room. It calls nobody here: see `_reported`."""
        deadline = time.monotonic() + FULL_FOR
        while time.monotonic() < deadline:
            self._serve(lambda: self._client.poll(0.1))
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
            raise self._refusal(topic, error)
        self._known.add(topic)

    def _refusal(self, topic: str, error: Any) -> StreamjobsError:
        hint = f"; is there a topic {topic!r}?" if error.code() in UNKNOWN else ""
        kind = MessageRefusedError if error.code() in TOO_LARGE else DeliveryError
        return kind(f"topic {topic!r}: {text_of(error)}{hint}")

    def _reported(self, done: Done, error: Any, message: Any) -> None:
        """The client's callback. It may come in any thread that waits for room in `send`, so `done`
        is left for the thread that polls.
        """
        text = None if error is None else text_of(error)
        offset = UNWRITTEN if error is not None else message.offset()
        refused = error is not None and error.code() in TOO_LARGE
        delivery = Delivery(message.topic(), message.partition(), offset, text, refused)
        self._deliveries.append((done, delivery))

    def _unasked(self, error: Any, message: Any) -> None:
        if error is not None:
            logger.error("a record for %s was not written: %s", message.topic(), text_of(error))

    def poll(self, timeout: float) -> None:
        self._serve(lambda: self._client.poll(0 if self._deliveries else timeout))
        self._deliver()

    def flush(self, timeout: float) -> int:
        left = self._serve(lambda: self._client.flush(timeout))
        self._deliver()
        return left

    def _serve(self, call: Callable[[], int]) -> int:
        """An error that ends the producer is raised by the client, once, in place of a call of
        `_on_error`. The messages fail one by one, then as before.
        """
        try:
            return call()
        except KafkaException as error:
            self._on_error(error_of(error))
            return call()

    def _deliver(self) -> None:
        while self._deliveries:
            try:
                done, delivery = self._deliveries.popleft()
            except IndexError:  # another thread was faster
                return
            done(delivery)
