"""Group members for tests: they note what they are told and what they read."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from streamjobs.broker.ports import (
    Assigned,
    Broker,
    Commit,
    CommitResult,
    ConsumerOptions,
    Listener,
    TopicPartition,
)
from streamjobs.record import Record

WITHIN = 30.0  # seconds; a real group with a fresh coordinator takes some


class Member(Listener):
    """One consumer of a group, and everything that has happened to it.

    Attributes:
        held: the partitions that are assigned to it now.
        told: the group's decisions in the order they came, as ("assigned", partitions).
        assignments: what each assigned partition came with.
        records: what it has read.
        commits: answers to `commit`.
        ends: the partitions whose end it was told, each time.
        when_revoked: called in `on_revoked`, while the partitions are still held.
    """

    def __init__(self, broker: Broker, group: str, *topics: str, **options: Any) -> None:
        self.held: set[TopicPartition] = set()
        self.told: list[tuple[str, list[TopicPartition]]] = []
        self.assignments: list[Assigned] = []
        self.records: list[Record] = []
        self.commits: list[CommitResult] = []
        self.ends: list[TopicPartition] = []
        self.when_revoked: Callable[[Sequence[TopicPartition]], object] = lambda _: None
        self.consumer = broker.consumer(ConsumerOptions(group, topics, **options), self)
        self._left = False

    def on_assigned(self, assigned: Sequence[Assigned]) -> None:
        self.assignments += assigned
        self.told.append(("assigned", [each.partition for each in assigned]))
        self.held.update(each.partition for each in assigned)

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self.told.append(("revoked", list(partitions)))
        self.when_revoked(partitions)
        self.held.difference_update(partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        self.told.append(("lost", list(partitions)))
        self.held.difference_update(partitions)

    def on_committed(self, result: CommitResult) -> None:
        self.commits.append(result)

    def on_end(self, partition: TopicPartition) -> None:
        self.ends.append(partition)

    def poll(self, limit: int = 100, timeout: float = 0.0) -> list[Record]:
        """Poll once; returns what came."""
        batches = self.consumer.poll(limit, timeout)
        came = [record for batch in batches for record in batch.records]
        self.records += came
        return came

    def commit(self, topic: str, partition: int, offset: int, metadata: str = "") -> None:
        """Commit, to hear of it in a later poll."""
        self.consumer.commit([Commit(TopicPartition(topic, partition), offset, metadata)])

    def commit_now(
        self, topic: str, partition: int, offset: int, metadata: str = ""
    ) -> CommitResult:
        """Commit, and hear of it at once."""
        commit = Commit(TopicPartition(topic, partition), offset, metadata)
        return self.consumer.commit_now([commit], WITHIN)

    def assigned(self, topic: str, partition: int) -> Assigned:
        """What this partition came with, the last time it was assigned."""
        wanted = TopicPartition(topic, partition)
        return [each for each in self.assignments if each.partition == wanted][-1]

    def read(self, topic: str, partition: int) -> list[int]:
        """The offsets that were read of one partition."""
        return [r.offset for r in self.records if (r.topic, r.partition) == (topic, partition)]

    def leave(self) -> None:
        """Close the consumer; once is enough."""
        if not self._left:
            self._left = True
            self.consumer.close()

    @property
    def values(self) -> list[bytes | None]:
        """The values that were read."""
        return [record.value for record in self.records]


def poll_until(condition: Callable[[], object], *members: Member, within: float = WITHIN) -> None:
    """Poll the members in turn until the condition holds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            told = [member.told for member in members]
            raise AssertionError(f"not within {within} s; the members were told {told}")
        for member in members:
            member.poll(timeout=0.05)


def poll_for(seconds: float, *members: Member) -> None:
    """Poll the members in turn, to see that something does not happen."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for member in members:
            member.poll(timeout=0.05)
