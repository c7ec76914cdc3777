"""Emitted records on their way: an offset is complete when all that it emitted is acknowledged,
and when the earlier offsets of its order are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from streamjobs.broker.ports import Delivery, Message, Producer
from streamjobs.engine.effects import Effects, Waiting
from streamjobs.engine.generation import Generation
from streamjobs.engine.orders import Order
from streamjobs.engine.troubles import Burial
from streamjobs.errors import DeliveryError
from streamjobs.record import Record

__all__ = ("Outbox",)


class Outbox:
    """Sends what successful attempts emitted, in the order of their settlement.

    A record that is over waits here while it, or an earlier one of its order, is not
    acknowledged: were it complete before them, a crash would run them again behind it.

    Args:
        producer: used by the owner's thread only.
        acknowledged: called when a record may count as complete.
        failed: called when something it emitted did not arrive.
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

    def keep(
        self, generation: Generation, order: Order, record: Record, effects: Effects | None
    ) -> None:
        """Take over a record that is over, and send what it emitted."""
        emits = effects.emits if effects is not None else []
        entry = Waiting(record, len(emits))
        generation.unacknowledged.setdefault(order, deque()).append(entry)
        if not emits:
            self._release(generation, order)
            return
        generation.emitting += 1
        for message in emits:
            self._send(message, lambda delivery: self._answered(generation, order, entry, delivery))

    def bury(self, burial: Burial, answered: Callable[[Burial, Delivery], None]) -> None:
        """Send a dead letter; `answered` is called once, when it is known what became of it."""
        burial.generation.emitting += 1

        def done(delivery: Delivery) -> None:
            burial.generation.emitting -= 1
            answered(burial, delivery)

        self._send(burial.letter, done)

    def poll(self) -> None:
        """Take in acknowledgements that have come."""
        self._producer.poll(0)

    def _send(self, message: Message, done: Callable[[Delivery], None]) -> None:
        try:
            self._producer.send(message, done)
        except DeliveryError as error:
            done(Delivery(message.topic, -1, -1, str(error)))

    def _answered(
        self, generation: Generation, order: Order, entry: Waiting, delivery: Delivery
    ) -> None:
        entry.left -= 1
        if delivery.error is not None and entry.error is None:
            entry.error = delivery.error
            self._failed(generation, entry.record, delivery.error)
        if not entry.left:
            generation.emitting -= 1
            self._release(generation, order)

    def _release(self, generation: Generation, order: Order) -> None:
        """Those at the head of the line may count as complete. One that did not arrive stays,
        and all behind it: the partition will be read again from its last commit.
        """
        line = generation.unacknowledged[order]
        while line and not line[0].left and line[0].error is None:
            self._acknowledged(generation, line.popleft().record)
        if not line:
            del generation.unacknowledged[order]
