"""Emitted records on their way: an offset is complete when all that it emitted is acknowledged."""

from __future__ import annotations

from collections.abc import Callable

from streamjobs.broker.ports import Delivery, Message, Producer
from streamjobs.engine.effects import Effects
from streamjobs.engine.generation import Generation
from streamjobs.errors import DeliveryError
from streamjobs.record import Record

__all__ = ("Outbox",)


class Outbox:
    """Sends what successful attempts emitted, in the order of their settlement.

    Args:
        producer: used by the owner's thread only.
        acknowledged: called when everything that one record emitted has arrived.
        failed: called when something did not; once a record.
    """

    def __init__(
        self,
        producer: Producer,
        acknowledged: Callable[[Generation, Record], None],
        failed: Callable[[Generation, Record, str], None],
    ) -> None:
        self._producer = producer
        self._acknowledged = acknowledged
        self._failed = failed
        self.waiting: dict[Generation, int] = {}
        """Records whose emits are not acknowledged yet, by generation."""

    def keep(self, generation: Generation, record: Record, effects: Effects) -> None:
        """Send what this record emitted."""
        if not effects.emits:
            self._acknowledged(generation, record)
            return
        self.waiting[generation] = self.waiting.get(generation, 0) + 1
        answer = _Answers(self, generation, record, len(effects.emits))
        for message in effects.emits:
            self._send(message, answer)

    def poll(self) -> None:
        """Take in acknowledgements that have come."""
        if self.waiting:
            self._producer.poll(0)

    def wait(self, timeout: float) -> None:
        """Take in acknowledgements, waiting up to `timeout` seconds for one."""
        self._producer.poll(timeout)

    def _send(self, message: Message, answer: _Answers) -> None:
        try:
            self._producer.send(message, answer.take)
        except DeliveryError as error:
            answer.take(Delivery(message.topic, -1, -1, str(error)))

    def settle(self, generation: Generation, record: Record, error: str | None) -> None:
        """All answers for one record are in."""
        left = self.waiting.get(generation, 0) - 1
        if left > 0:
            self.waiting[generation] = left
        else:
            self.waiting.pop(generation, None)
        if error is None:
            self._acknowledged(generation, record)
        else:
            self._failed(generation, record, error)


class _Answers:
    """Counts the acknowledgements of what one record emitted."""

    __slots__ = ("_error", "_generation", "_left", "_outbox", "_record")

    def __init__(
        self, outbox: Outbox, generation: Generation, record: Record, expected: int
    ) -> None:
        self._outbox = outbox
        self._generation = generation
        self._record = record
        self._left = expected
        self._error: str | None = None

    def take(self, delivery: Delivery) -> None:
        self._error = self._error or delivery.error
        self._left -= 1
        if not self._left:
            self._outbox.settle(self._generation, self._record, self._error)
