"""Emitted records on their way: an offset is complete when all that it emitted is acknowledged,
and when the earlier offsets of its order are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from streamjobs.broker.ports import Delivery, Message, Producer
from streamjobs.engine.effects import Effects, Waiting
from streamjobs.engine.generation import Generation
from streamjobs.engine.orders import Order
from streamjobs.engine.refusals import Refusals
from streamjobs.engine.troubles import Burial
from streamjobs.errors import DeliveryError, MessageRefusedError
from streamjobs.record import Record

__all__ = ("Outbox",)


RELEASED: Final = 1_000
"""Records whose emits are sent in one poll, of those that were held."""


class Outbox:
    """Sends what successful attempts emitted, in the order of their settlement.

    A record that is over waits here while it, or an earlier one of its order, is not
    acknowledged: were it complete before them, a crash would run them again behind it.

    Args:
        producer: used by the owner's thread only.
        acknowledged: called with the offsets of records that may count as complete.
        failed: called when something it emitted did not arrive.
        refusals: whose emits have to be sent alone.
    """

    def __init__(
        self,
        producer: Producer,
        acknowledged: Callable[[Generation, Sequence[int]], None],
        failed: Callable[[Generation, Record, str], None],
        refusals: Refusals | None = None,
    ) -> None:
        self._producer = producer
        self._acknowledged = acknowledged
        self._failed = failed
        self._refusals = refusals or Refusals()
        self._on_their_way = 0
        self._complete: dict[Generation, list[int]] = {}
        self._polling = False
        self._lines: deque[_Held] = deque()  # what waits: see `hold`, and suspects are sent alone
        self._lonely = False
        self._holds = False

    def keep(
        self, generation: Generation, order: Order, record: Record, effects: Effects | None
    ) -> None:
        """Take over a record that is over, and send what it emitted."""
        emits = effects.emits if effects is not None else []
        entry = Waiting(record, len(emits))
        line = generation.unacknowledged.get(order)
        if line is None:
            line = generation.unacknowledged[order] = deque()
        line.append(entry)
        if not emits:
            self._release(generation, order)
            return
        generation.emitting += 1
        entry.alone = self._refusals.is_suspect(generation.partition, record.offset)

        def done(delivery: Delivery) -> None:
            self._answered(generation, order, entry, delivery)

        self._post(_Held(generation, emits, done, entry.alone))

    def hold(self) -> None:
        """Send nothing more: it would get into a transaction whose progress says nothing of it."""
        self._holds = True

    def release(self) -> None:
        """What was held may go, as it is polled; the next transaction takes it."""
        self._holds = False

    def forget(self, generation: Generation) -> None:
        """What it emitted and was not sent yet is not to be sent."""
        if self._lines:
            self._lines = deque(each for each in self._lines if each.generation is not generation)

    def bury(self, burial: Burial, answered: Callable[[Burial, Delivery], None]) -> None:
        """Send a dead letter; `answered` is called once, when it is known what became of it."""
        burial.generation.emitting += 1

        def done(delivery: Delivery) -> None:
            self._on_their_way -= 1
            burial.generation.emitting -= 1
            answered(burial, delivery)

        self._post(_Held(burial.generation, [burial.letter], done, alone=False))

    def poll(self, wait: float = 0) -> None:
        """Take in acknowledgements that have come; waits for the first so many seconds."""
        self._polling = True
        try:
            self._producer.poll(wait)
        finally:
            self._polling = False
            self._tell()
        for _ in range(RELEASED):
            if not self._lines or not self._may_send(self._lines[0]):
                return
            self._send(self._lines.popleft())

    def _post(self, held: _Held) -> None:
        if self._lines or not self._may_send(held):
            self._lines.append(held)
        else:
            self._send(held)

    def _may_send(self, held: _Held) -> bool:
        alone = self._lonely or held.alone
        return not self._holds and not (alone and self._on_their_way)

    def _send(self, held: _Held) -> None:
        self._lonely = held.alone
        self._on_their_way += len(held.messages)
        done = held.done
        for message in held.messages:
            try:
                self._producer.send(message, done)
            except DeliveryError as error:
                refused = isinstance(error, MessageRefusedError)
                done(Delivery(message.topic, -1, -1, str(error), refused))

    def _answered(
        self, generation: Generation, order: Order, entry: Waiting, delivery: Delivery
    ) -> None:
        self._on_their_way -= 1
        entry.left -= 1
        if delivery.refused and delivery.error is not None:
            self._refusals.note(
                generation.partition, entry.record.offset, delivery.error, alone=entry.alone
            )
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
        complete = self._complete.setdefault(generation, [])
        while line and not line[0].left and line[0].error is None:
            complete.append(line.popleft().record.offset)
        if not line:
            del generation.unacknowledged[order]
        if not self._polling:
            self._tell()

    def _tell(self) -> None:
        """Which are complete: together, where one look at the broker brought many."""
        complete, self._complete = self._complete, {}
        for generation, offsets in complete.items():
            if offsets:
                self._acknowledged(generation, offsets)


class _Held:
    """What one record emitted, or a dead letter."""

    __slots__ = ("alone", "done", "generation", "messages")

    def __init__(
        self,
        generation: Generation,
        messages: Sequence[Message],
        done: Callable[[Delivery], None],
        alone: bool,
    ) -> None:
        self.generation = generation
        self.messages = messages
        self.done = done
        self.alone = alone
