"""What is promised about every record."""

from __future__ import annotations

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing.guarantees.base import Guarantee, concerns
from streamjobs.testing.history import (
    Accepted,
    Assigned,
    Blocked,
    Committed,
    Delivered,
    Event,
    Finished,
    Removed,
    Sent,
    Settled,
)

__all__ = ("NoLoss",)


class NoLoss(Guarantee):
    """Nothing is dropped silently. Every record ends as done, dead-lettered (acknowledged), or
    discarded by a policy the user wrote; and the last commit says so.

    Only where the user's policy is to block the key of a record that failed for good, that record
    and those behind it in its order may be left: for as long as the last process that took it in
    holds the key, and nothing else of the partition is left with them.

    Check it when everything has come to rest.

    Args:
        deliveries: whether the history tells what was delivered; then what a record emitted has
            to be in the log at the end.
    """

    def __init__(self, *, deliveries: bool = False) -> None:
        super().__init__()
        self._deliveries = deliveries
        self._open: dict[tuple[TopicPartition, int], None] = {}
        self._silent: dict[tuple[TopicPartition, int], None] = {}
        self._emitted: set[tuple[str, int]] = set()
        self._delivered: set[tuple[TopicPartition, int]] = set()
        self._uncommitted: dict[TopicPartition, dict[int, None]] = {}
        self._orders: dict[tuple[TopicPartition, int], str | None] = {}
        self._blocked: dict[TopicPartition, dict[int, str]] = {}

    def judge(self, event: Event) -> None:
        match event:
            case Sent(partition=partition, offset=offset):
                self._open[partition, offset] = None
                self._orders[partition, offset] = event.order
                self._uncommitted.setdefault(partition, {})[offset] = None
            case Removed(partition=partition, offset=offset):
                self._close(partition, offset)
                self._delivered.add((partition, offset))
                self._uncommitted.get(partition, {}).pop(offset, None)
            case Settled(generation=generation, partition=partition, offset=offset):
                self._close(partition, offset)
                self._silent.pop((partition, offset), None)  # how it ended at last is what counts
                if (generation, offset) in self._emitted:
                    self._silent[partition, offset] = None
            case Blocked(generation=generation, partition=partition, offset=offset):
                self._blocked.setdefault(partition, {})[offset] = generation
                self._silent.pop((partition, offset), None)  # what it had done was undone
            case Accepted(partition=partition) if partition in self._blocked:
                self._take_in(event)
            case Finished(generation=generation, offset=offset, error=None, emits=emits) if emits:
                self._emitted.add((generation, offset))
            case Delivered(partition=partition, offset=offset):
                self._delivered.add((partition, offset))
            # A commit whose answer died with its process shows where the next one begins.
            case (
                Committed(partition=partition, frontier=frontier, completed=completed)
                | Assigned(partition=partition, frontier=frontier, completed=completed)
            ):
                waiting = self._uncommitted.get(partition, {})
                for offset in [each for each in waiting if each < frontier]:
                    del waiting[offset]
                for start, length in completed:
                    for offset in range(start, start + length):
                        waiting.pop(offset, None)

    def _close(self, partition: TopicPartition, offset: int) -> None:
        self._open.pop((partition, offset), None)
        if partition in self._blocked:
            self._blocked[partition].pop(offset, None)

    def _take_in(self, event: Accepted) -> None:
        """Who takes a blocked record in has to attempt it again."""
        blocked = self._blocked[event.partition]
        for offset, _, _ in event.records:
            if blocked.get(offset, event.generation) != event.generation:
                del blocked[offset]

    def _is_held(self, partition: TopicPartition, offset: int) -> bool:
        """Whether a record is blocked, or stands behind one that is."""
        blocked = self._blocked.get(partition)
        if not blocked:
            return False
        order = self._orders[partition, offset]
        return offset in blocked or any(
            each < offset and order is not None and order == self._orders[partition, each]
            for each in blocked
        )

    def conclude(self) -> None:
        unsettled = [each for each in self._open if not self._is_held(*each)]
        for partition, offset in unsettled:
            self._report(partition, offset, "was never settled", len(unsettled))
            return
        if self._deliveries:
            silent = [each for each in self._silent if each not in self._delivered]
            for partition, offset in silent:
                what = "is done, but what it emitted is not there"
                self._report(partition, offset, what, len(silent))
                return
        for partition, waiting in self._uncommitted.items():
            uncommitted = [each for each in waiting if not self._is_held(partition, each)]
            for offset in uncommitted:
                self._report(partition, offset, "was never committed", len(uncommitted))
                return

    def _report(self, partition: TopicPartition, offset: int, what: str, count: int) -> None:
        more = f" (and {count - 1} more)" if count > 1 else ""
        self.violated(
            f"offset {offset} of {partition} {what}{more}", concerns(partition, (offset,))
        )
