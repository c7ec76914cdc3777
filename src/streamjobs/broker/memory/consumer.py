"""A member of a group in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from streamjobs.broker.memory.cluster import MemoryCluster
from streamjobs.broker.memory.faults import Process
from streamjobs.broker.memory.group import Member, Membership
from streamjobs.broker.ports import (
    Assigned,
    Batch,
    Commit,
    CommitResult,
    Consumer,
    ConsumerOptions,
    Listener,
    TopicPartition,
)
from streamjobs.errors import BrokerUnavailableError

__all__ = ("MemoryConsumer",)


@dataclass(slots=True)
class _Reading:
    """Where this member stands in one partition."""

    first: int
    next: int
    paused: bool = False
    ended: bool = False


class MemoryConsumer(Consumer):
    """Joins with its first poll. The lock is never held while the listener is called.

    Attributes:
        name: what `MemoryCluster.expire` and `bounce` know it by.
    """

    def __init__(
        self,
        cluster: MemoryCluster,
        process: Process,
        name: str,
        options: ConsumerOptions,
        listener: Listener,
    ) -> None:
        self.name = name
        self._cluster = cluster
        self._process = process
        self._options = options
        self._listener = listener
        self._group = cluster.group(options.group)
        self._member: Member | None = None
        self._generation = 0
        self._readings: dict[TopicPartition, _Reading] = {}
        self._waiting: set[TopicPartition] = set()  # for a transaction that holds their offsets
        self._answers: deque[CommitResult] = deque()
        self._closed = False

    def poll(self, limit: int, timeout: float) -> Sequence[Batch]:
        if self._closed:
            raise RuntimeError("this consumer is closed")
        return self._cluster.look_for(lambda: self._turn(limit), timeout if limit else 0)

    def commit(self, commits: Sequence[Commit]) -> None:
        self._answers.append(self._commit(commits))

    def commit_now(self, commits: Sequence[Commit], timeout: float) -> CommitResult:
        return self._commit(commits)

    def pause(self, partition: TopicPartition) -> None:
        if reading := self._readings.get(partition):
            reading.paused = True

    def resume(self, partition: TopicPartition) -> None:
        if reading := self._readings.get(partition):
            reading.paused = False

    def rewind(self, partition: TopicPartition) -> Assigned | None:
        if (reading := self._readings.get(partition)) is None:
            return None
        with self._cluster.changed:
            if self._group.is_pending(partition):  # Kafka would answer when that has ended
                raise BrokerUnavailableError(f"a transaction holds the offset of {partition}")
            assigned = self._where(partition)
        reading.first = reading.next = assigned.offset
        reading.ended = False
        return assigned

    def group_metadata(self) -> Membership | None:
        if self._member is None:
            return None
        return Membership(self._group, self._member, self._generation)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._process.alive:
            return
        self._tell_answers()
        if not self._group.has(self._member):
            self._lose()
            return
        if held := sorted(self._readings):
            self._listener.on_revoked(held)
        self._tell_answers()
        if self._process.connected:
            with self._cluster.changing():
                self._group.remove(self.name)
        self._member = None

    def _turn(self, limit: int) -> list[Batch]:
        """One exchange with the cluster, without waiting."""
        if self._process.alive:
            self._tell_answers()
        if not self._process.connected:
            return []
        self._cluster.heed_time()
        self._heed_group()
        return self._fetch(limit) if limit else []

    def _tell_answers(self) -> None:
        while self._answers and not self._process.faults.answers_held:
            self._listener.on_committed(self._answers.popleft())

    def _heed_group(self) -> None:
        """One of the group's decisions a poll, since a real rebalance takes several, too."""
        member = self._member
        with self._cluster.changed:
            alive = self._group.has(member)
            revoked = member.revoked if member else []
            self._generation = self._group.generation
        if member and not alive:
            self._lose()
        elif member and revoked:
            self._give_up(member, revoked)
        else:
            self._take_over()

    def _lose(self) -> None:
        lost = sorted(self._readings)
        self._member = None
        self._readings.clear()
        self._waiting.clear()
        if lost:
            self._listener.on_lost(lost)

    def _give_up(self, member: Member, revoked: Sequence[TopicPartition]) -> None:
        self._waiting.difference_update(revoked)
        if told := [partition for partition in revoked if partition in self._readings]:
            self._listener.on_revoked(told)
        for partition in told:
            del self._readings[partition]
        with self._cluster.changing():
            self._group.release(member, revoked)

    def _take_over(self) -> None:
        with self._cluster.changed:
            if self._member is None:
                self._member = self._join()
            granted = self._group.grant(self._member)
            self._generation = self._group.generation  # joining is a round of its own
            self._waiting.update(granted or ())
            if granted is None and not self._waiting:
                return
            ready = [p for p in sorted(self._waiting) if not self._group.is_pending(p)]
            if granted is None and not ready:
                return
            self._waiting.difference_update(ready)
            assigned = [self._where(partition) for partition in ready]
        for partition, offset, *_ in assigned:
            self._readings[partition] = _Reading(offset, offset)
        self._listener.on_assigned(assigned)

    def _join(self) -> Member:
        with self._cluster.changing():
            return self._group.join(
                self.name,
                self._options.topics,
                self._options.instance,
                self._options.copartitioned,
            )

    def _where(self, partition: TopicPartition) -> Assigned:
        start = self._cluster.log(*partition).start
        committed = self._group.committed.get(partition)
        if committed is None:
            return Assigned(partition, start)
        offset, metadata = committed
        return Assigned(partition, max(offset, start), metadata, offset)

    def _fetch(self, limit: int) -> list[Batch]:
        batches: list[Batch] = []
        ends: list[TopicPartition] = []
        with self._cluster.changed:
            self._repeat()
            for partition, reading in list(self._readings.items()):
                if reading.paused or not limit:
                    continue
                records, reading.next = self._cluster.log(*partition).read(reading.next, limit)
                if records:
                    batches.append(Batch(partition, records))
                    limit -= len(records)
                    # To the back of the line, so that a long log does not starve the others.
                    self._readings[partition] = self._readings.pop(partition)
                elif not reading.ended:
                    ends.append(partition)
                reading.ended = not records
        if self._options.report_ends:
            for partition in ends:
                self._listener.on_end(partition)
        return batches

    def _repeat(self) -> None:
        """Step back over records that were delivered, when the faults say so."""
        begun = [p for p, r in self._readings.items() if r.next > r.first and not r.paused]
        if begun and (count := self._process.faults.repeats()):
            reading = self._readings[begun[0]]
            again = self._cluster.log(*begun[0]).back(reading.next, count)
            reading.next = max(reading.first, again)

    def _commit(self, commits: Sequence[Commit]) -> CommitResult:
        with self._cluster.changed:
            fate = self._process.fate_of_commit()
            refusal = self._group.refusal(self._member, commits)
            if fate.applied and refusal is None:
                self._group.store(commits)
        return CommitResult(commits, fate.error or refusal)
