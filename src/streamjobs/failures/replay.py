"""Sending dead letters back to where they came from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamjobs.broker.ports import Delivery, Message, TopicPartition
from streamjobs.errors import DeliveryError
from streamjobs.failures.journal import Order
from streamjobs.failures.letterbox import Chosen, Letterbox
from streamjobs.failures.letters import Letter
from streamjobs.failures.marks import Intent, Replayed
from streamjobs.failures.resend import resend
from streamjobs.failures.sender import Sender, note
from streamjobs.failures.settle import ReplayRunningError, arrivals

__all__ = ("Replay", "Summary", "in_batches")

Addressed = tuple[Letter, Message]

BATCH_LETTERS: Final = 500
BATCH_BYTES: Final = 8 * 1024 * 1024
"""What is announced by one intent: as much has to be looked for after an interruption."""


@dataclass(slots=True)
class Summary:
    """What a replay did.

    Attributes:
        replayed: how many letters arrived.
        failed: letters that could not be sent, with the reason; they are open still.
        held_back: open letters that may not overtake a failed one of their key, with that one.
    """

    replayed: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    held_back: dict[str, str] = field(default_factory=dict)


class Replay:
    """One run of `dlq replay`.

    A batch of letters is announced by an intent, sent, and noted as replayed when all of it is
    acknowledged. So whenever this is interrupted, the next one knows where to look (`settle`).

    Args:
        box: where the letters are, read to its end and settled.
        sender: what they are sent with.
        ident: the id of this replay.
        order: what order a letter belongs to: within it, none overtakes another.
        progress: told of each batch how many letters it had.
    """

    def __init__(
        self,
        box: Letterbox,
        sender: Sender,
        ident: str,
        order: Order,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.ident = ident
        self.summary = Summary()
        self._box = box
        self._sender = sender
        self._order = order
        self._progress = progress
        self._stuck: dict[Hashable, Letter] = {}
        """The first letter of an order that could not be sent."""

    def run(self, chosen: Chosen) -> Summary:
        """Send these letters, partition by partition, in their order.

        Raises:
            ReplayRunningError: another process was faster with some of them.
            BrokerUnavailableError, DeliveryError: it cannot go on. Run it again: what has arrived
                is not sent again.
        """
        for place, offsets in chosen.items():
            for batch in in_batches(self._box.letters({place: offsets})):
                self._replay(place, batch)
                self._progress(len(batch))
        return self.summary

    def _replay(self, place: TopicPartition, letters: Sequence[Letter]) -> None:
        """Replay one batch, all at once; where that does not go well, the rest of it one by one."""
        addressed = self._addressed(letters)
        if not addressed:
            return
        intent = self._announce(place, addressed)
        if self._send_all(addressed):
            self._conclude(place, set(intent.offsets))
            return
        self._sender.renew()
        sent = self._conclude(place, arrivals(self._box, place, intent).keys())
        self._replay_each(place, [each for each in letters if each.offset not in sent])

    def _replay_each(self, place: TopicPartition, letters: Sequence[Letter]) -> None:
        addressed = self._addressed(letters)
        if not addressed:
            return
        intent = self._announce(place, addressed)
        self._send_each(addressed)
        sent = self._conclude(place, arrivals(self._box, place, intent).keys())
        for letter, _ in addressed:
            if letter.offset in sent:  # an error is no proof that it was not written
                self.summary.failed.pop(letter.id, None)

    def _conclude(self, place: TopicPartition, sent: Collection[int]) -> Collection[int]:
        note(self._box, self._sender, place, Replayed(self.ident, sorted(sent)))
        self.summary.replayed += len(sent)
        return sent

    def _addressed(self, letters: Sequence[Letter]) -> list[Addressed]:
        """Those that can be sent, as far as can be known beforehand."""
        addressed = []
        for letter in letters:
            if self._is_held_back(letter):
                continue
            try:
                message = resend(letter, self.ident, self._box.counts)
            except DeliveryError as error:
                self._fail(letter, str(error))
            else:
                addressed.append((letter, message))
        return addressed

    def _announce(self, place: TopicPartition, addressed: Sequence[Addressed]) -> Intent:
        targets = {
            TopicPartition(message.topic, message.partition or 0) for _, message in addressed
        }
        ends = {target: span.end for target, span in self._box.spans(targets).items()}
        intent = Intent(self.ident, tuple(letter.offset for letter, _ in addressed), ends)
        journal = note(self._box, self._sender, place, intent)
        if journal.intents.get(self.ident) != intent:
            raise ReplayRunningError(place)
        return intent

    def _send_all(self, addressed: Sequence[Addressed]) -> bool:
        """Whether all of them were acknowledged. After the first one that was not, no other
        arrives: see `Sender`.
        """
        errors: list[str] = []

        def done(delivery: Delivery) -> None:
            if delivery.error is not None:
                errors.append(delivery.error)

        try:
            for _, message in addressed:
                self._sender.send(message, done)
        except DeliveryError as error:
            errors.append(str(error))
        self._sender.wait()
        return not errors

    def _send_each(self, addressed: Sequence[Addressed]) -> None:
        for letter, message in addressed:
            if self._is_held_back(letter):
                continue
            try:
                self._sender.write(message)
            except DeliveryError as error:
                self._fail(letter, str(error))
                self._sender.renew()

    def _fail(self, letter: Letter, reason: str) -> None:
        self.summary.failed[letter.id] = reason
        order = self._order(letter)
        if order is not None:
            self._stuck.setdefault(order, letter)

    def _is_held_back(self, letter: Letter) -> bool:
        """Whether an earlier one of its order could not be sent."""
        order = self._order(letter)
        first = None if order is None else self._stuck.get(order)
        if first is None or (first.place, first.offset) >= (letter.place, letter.offset):
            return False
        self.summary.held_back[letter.id] = first.id
        return True


def in_batches(letters: Iterable[Letter]) -> Iterator[list[Letter]]:
    """Letters in batches of a bounded number and size."""
    batch: list[Letter] = []
    size = 0
    for letter in letters:
        batch.append(letter)
        size += letter.record.size
        if len(batch) >= BATCH_LETTERS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
