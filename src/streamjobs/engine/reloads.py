"""Partitions that have to be read again from their last commit, each after a growing pause."""

from __future__ import annotations

from typing import Final

from streamjobs.broker.ports import TopicPartition

__all__ = ("Reloads",)

FIRST: Final = 0.5
LONGEST: Final = 60.0
"""Seconds. What could not be delivered once is often refused again: without a pause, handlers
would run as fast as they can for nothing."""


class Reloads:
    """Says when a partition may be read again; the pause doubles until it gets on."""

    def __init__(self) -> None:
        self._frontiers: dict[TopicPartition, int] = {}
        self._due: dict[TopicPartition, float] = {}
        self._pauses: dict[TopicPartition, float] = {}

    def request(
        self, partition: TopicPartition, now: float, frontier: int, pause: float | None = None
    ) -> None:
        """This partition's generation was given up at that frontier; `pause` where it is known how
        long to wait.
        """
        self._frontiers[partition] = frontier
        if pause is not None:
            self._due[partition] = now + pause
            return
        pause = self._pauses.get(partition, FIRST)
        self._pauses[partition] = min(2 * pause, LONGEST)
        self._due[partition] = now + pause

    def postpone(self, partition: TopicPartition, now: float) -> None:
        """Nobody answered: once more, later."""
        self.request(partition, now, self._frontiers.get(partition, 0))

    def take_due(self, now: float) -> list[TopicPartition]:
        """Partitions whose pause is over."""
        due = [partition for partition, at in self._due.items() if at <= now]
        for partition in due:
            del self._due[partition]
        return due

    @property
    def pending(self) -> bool:
        """Whether any partition waits."""
        return bool(self._due)

    def forgive(self) -> None:
        """It is known why: the next reading will not end as this one."""
        self._pauses.clear()

    def forget(self, partition: TopicPartition) -> None:
        """The partition has gone to somebody else."""
        self._due.pop(partition, None)
        self._pauses.pop(partition, None)
        self._frontiers.pop(partition, None)

    def succeeded(self, partition: TopicPartition, frontier: int) -> None:
        """A commit of this partition went through. Where it stood before says nothing: each reading
        begins with one.
        """
        if partition in self._pauses and frontier > self._frontiers.get(partition, -1):
            del self._pauses[partition]
