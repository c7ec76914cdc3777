"""What is promised about dead letters."""

from __future__ import annotations

from typing import Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing.guarantees.base import Guarantee, concerns
from streamjobs.testing.guarantees.progress import Progress
from streamjobs.testing.history import Assigned, Buried, Event, Finished, Revoked, Settled

__all__ = ("DeadLetterKeepsOrder",)

WITHOUT_ATTEMPT: Final = ("RecordGoneError", "PoisonRecordError", "SequencedRecordError")
"""Records that die of these may have been attempted before, but not by who buries them."""

Key = tuple[TopicPartition, str]


class DeadLetterKeepsOrder(Guarantee):
    """The letters of one partition and ordering key stand in one dead-letter partition, in the
    order of the records' offsets. After a crash letters may be written again from the key's first
    unsettled record on, never from later, and then in order again: when the letter of a is
    written, no later record of its key that has a letter counts as complete already for the
    generation that writes it, and none of them has a letter of that generation.

    A letter has key, value and headers of its record, byte for byte, and further headers behind
    them; only of a record that was gone from its log when it had to be read again, nothing is left
    to write. It is written by a process that has the partition as far as it knows, about an attempt
    that failed while it had it; what an assignment that is over found out is not buried.
    """

    def __init__(self) -> None:
        super().__init__()
        self._progress: dict[str, Progress] = {}
        self._current: dict[tuple[str, TopicPartition], str] = {}
        self._failed: dict[str, set[int]] = {}
        self._letters: dict[Key, list[int]] = {}
        self._places: dict[Key, TopicPartition] = {}
        self._last: dict[tuple[str, str], int] = {}

    def judge(self, event: Event) -> None:
        match event:
            case Assigned(member=member, generation=generation, partition=partition):
                self._progress[generation] = Progress(event.frontier, event.completed)
                self._current[member, partition] = generation
            case Revoked(member=member, generation=generation, partition=partition):
                if self._current.get((member, partition)) == generation:
                    del self._current[member, partition]
            case Finished(generation=generation, offset=offset, error=error):
                if self._current.get((event.member, event.partition)) == generation:
                    failed = self._failed.setdefault(generation, set())
                    failed.discard(offset) if error is None else failed.add(offset)
            case Settled(generation=generation, offset=offset):
                self._progress[generation].settle(offset)
            case Buried():
                self._judge_letter(event)

    def _judge_letter(self, event: Buried) -> None:
        if event.changed is not None:
            self._report(event, f"has another {event.changed} than its record")
        generation = self._current.get((event.member, event.partition))
        if event.member:  # else nobody knows whose it is
            self._judge_writer(event, generation)
        if event.order is None:
            return
        key = event.partition, event.order
        place = self._places.setdefault(key, event.letter)
        if place != event.letter:
            self._report(event, f"stands in {event.letter}, the key's other letters in {place}")
        if generation is not None:
            self._judge_order(event, event.order, generation)
        self._letters.setdefault(key, []).append(event.offset)

    def _judge_writer(self, event: Buried, generation: str | None) -> None:
        if generation is None:
            self._report(event, f"was written by {event.member}, which had lost the partition")
        elif not _needs_no_attempt(event) and event.offset not in self._failed.get(generation, ()):
            self._report(
                event,
                f"was written by {event.member}, where no attempt of this assignment had failed",
            )

    def _judge_order(self, event: Buried, order: str, generation: str) -> None:
        progress = self._progress[generation]
        for later in self._letters.get((event.partition, order), ()):
            if later > event.offset and later in progress:
                self._report(
                    event, f"was written while the later offset {later} of its key was complete"
                )
                return
        last = self._last.get((generation, order), event.offset)
        if last > event.offset:
            self._report(event, f"was written behind that of the later offset {last} of its key")
        self._last[generation, order] = event.offset

    def _report(self, event: Buried, what: str) -> None:
        offsets = [event.offset, *self._letters.get((event.partition, event.order or ""), ())]
        self.violated(
            f"the letter of offset {event.offset} of {event.partition} {what}",
            concerns(event.partition, offsets),
        )


def _needs_no_attempt(event: Buried) -> bool:
    return not event.attempts or event.error.rpartition(".")[2] in WITHOUT_ATTEMPT
