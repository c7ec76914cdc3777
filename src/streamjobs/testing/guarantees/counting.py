"""What is done, as the broker has it: for promises about what handlers count in state."""

from __future__ import annotations

from collections import Counter

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing.guarantees.commits import covers
from streamjobs.testing.history import Assigned, Checkpointed, Event, Finished, Sent, Settled

__all__ = ("Ends",)


class Ends:
    """How records ended, for those that the progress of a checkpoint says are complete: as the
    member says that committed it.
    """

    def __init__(self) -> None:
        self.keys: dict[TopicPartition, dict[int, str | None]] = {}
        """Of all records: whose state each belongs to."""
        self.orders: dict[TopicPartition, dict[int, str | None]] = {}
        self._current: dict[tuple[str, TopicPartition], str] = {}
        self._settled: dict[str, dict[int, str]] = {}
        self._emitted: dict[str, dict[int, int]] = {}
        self._ends: dict[TopicPartition, dict[int, tuple[str, int]]] = {}

    def see(self, event: Event) -> None:
        """One more event."""
        match event:
            case Sent(partition=partition, offset=offset):
                self.keys.setdefault(partition, {})[offset] = event.key
                self.orders.setdefault(partition, {})[offset] = event.order
            case Assigned(member=member, partition=partition):
                self._current[member, partition] = event.generation
            case Finished(generation=generation, offset=offset, error=None):
                self._emitted.setdefault(generation, {})[offset] = event.emits
            case Settled(generation=generation, offset=offset):
                self._settled.setdefault(generation, {})[offset] = event.how
            case Checkpointed():
                self._take(event)

    def of(self, partition: TopicPartition) -> dict[int, tuple[str, int]]:
        """By offset, how each complete record ended and how much it emitted."""
        return self._ends.get(partition, {})

    def counted(self, partition: TopicPartition) -> Counter[str]:
        """By key, how many complete records were counted in its state."""
        keys = self.keys.get(partition, {})
        found = (
            keys.get(offset) for offset, (how, _) in self.of(partition).items() if how == "done"
        )
        return Counter(key for key in found if key is not None)

    def _take(self, event: Checkpointed) -> None:
        """Progress never goes back; where it does, that shows as what the state counts too much."""
        generation = self._current.get((event.member, event.partition), "")
        settled = self._settled.get(generation, {})
        emitted = self._emitted.get(generation, {})
        before = self._ends.get(event.partition, {})
        after: dict[int, tuple[str, int]] = {}
        for offset in self.keys.get(event.partition, ()):
            if not covers(event, offset):
                continue
            if offset in before:
                after[offset] = before[offset]
            elif offset in settled:
                after[offset] = settled[offset], emitted.get(offset, 0)
        self._ends[event.partition] = after
