"""What is promised about every record."""

from __future__ import annotations

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing.guarantees.base import Guarantee, concerns
from streamjobs.testing.history import (
    Assigned,
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

    def judge(self, event: Event) -> None:
        match event:
            case Sent(partition=partition, offset=offset):
                self._open[partition, offset] = None
                self._uncommitted.setdefault(partition, {})[offset] = None
            case Removed(partition=partition, offset=offset):
                self._close(partition, offset)
                self._delivered.add((partition, offset))
                self._uncommitted.get(partition, {}).pop(offset, None)
            case Settled(generation=generation, partition=partition, offset=offset):
                self._close(partition, offset)
                if (generation, offset) in self._emitted:
                    self._silent[partition, offset] = None
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

    def conclude(self) -> None:
        for partition, offset in self._open:
            self._report(partition, offset, "was never settled", len(self._open))
            return
        if self._deliveries:
            silent = [each for each in self._silent if each not in self._delivered]
            for partition, offset in silent:
                what = "is done, but what it emitted is not there"
                self._report(partition, offset, what, len(silent))
                return
        for partition, waiting in self._uncommitted.items():
            for offset in waiting:
                self._report(partition, offset, "was never committed", len(waiting))
                return

    def _report(self, partition: TopicPartition, offset: int, what: str, count: int) -> None:
        more = f" (and {count - 1} more)" if count > 1 else ""
        self.violated(
            f"offset {offset} of {partition} {what}{more}", concerns(partition, (offset,))
        )
