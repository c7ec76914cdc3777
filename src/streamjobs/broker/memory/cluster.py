"""The cluster that all processes of one test share: topics, logs, groups, and their lock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Condition
from types import MappingProxyType
from typing import Final, TypeVar

from streamjobs.broker.memory.coordinator import Coordinator, Session
from streamjobs.broker.memory.faults import Faults, Process
from streamjobs.broker.memory.group import Committed, Group
from streamjobs.broker.memory.log import Log
from streamjobs.broker.ports import Commit, Message, TopicPartition
from streamjobs.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    DeliveryError,
    GroupActiveError,
    TopicError,
)
from streamjobs.partitioning import partition_for
from streamjobs.record import Record

__all__ = ("MESSAGE_LIMIT", "MemoryCluster")

MESSAGE_LIMIT: Final = 1_000_000
"""Bytes of key and value, librdkafka's `message.max.bytes`."""

Found = TypeVar("Found")


class MemoryCluster:
    """Kafka's part that clients can see.

    With `blocking=False` nothing ever waits, so that one thread can drive several processes;
    otherwise an empty poll waits for news, and every method may be called from any thread.
    `clock` gives the seconds that records are stamped with.

    Attributes:
        faults: consulted by each `MemoryBroker` that brings no `Faults` of its own.
        coordinator: of all transactions.
    """

    def __init__(
        self,
        topics: Mapping[str, int] | None = None,
        *,
        blocking: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.faults = Faults()
        self.coordinator = Coordinator(clock, self.published)
        self.changed = Condition()
        self.changes = 0
        self._blocking = blocking
        self._clock = clock
        self._topics: dict[str, int] = {}
        self._largest: dict[str, int] = {}
        self._logs: dict[TopicPartition, Log] = {}
        self._groups: dict[str, Group] = {}
        self._processes: dict[str, Process] = {}
        self._keyless: Counter[str] = Counter()
        for name, partitions in (topics or {}).items():
            self.create(name, partitions)

    # What is there.

    def topics(self) -> dict[str, int]:
        """Each topic and how many partitions it has."""
        with self.changed:
            return dict(self._topics)

    def create(
        self, topic: str, partitions: int, config: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Add a topic; one that exists stays as it is. Of its `config`, `max.message.bytes` is
        heeded.
        """
        if partitions < 1:
            raise TopicError(f"{topic!r} needs at least 1 partition, not {partitions}")
        with self.changing():
            if topic in self._topics:
                return
            self._topics[topic] = partitions
            self._largest[topic] = int(config.get("max.message.bytes", MESSAGE_LIMIT))
            for number in range(partitions):
                partition = TopicPartition(topic, number)
                self._logs[partition] = Log(partition)
            for group in self._groups.values():
                group.rebalance()

    def largest(self, topic: str) -> int:
        """The bytes of key and value that a message of this topic may have."""
        return self._largest.get(topic, MESSAGE_LIMIT)

    def log(self, topic: str, partition: int) -> Log:
        """The log of one partition, to look at.

        Raises:
            KeyError: there is no such partition.
        """
        return self._logs[TopicPartition(topic, partition)]

    def group(self, name: str) -> Group:
        """The coordinator of a group, new when nobody has asked for it before."""
        with self.changed:
            return self._groups.setdefault(name, Group(self._topics))

    def committed(self, group: str, topic: str, partition: int) -> Committed | None:
        """Where a group has got to, as the broker has it (the clients may not know yet)."""
        return self.group(group).committed.get(TopicPartition(topic, partition))

    def commits(self, group: str, partitions: Sequence[TopicPartition]) -> list[Commit]:
        """What a group has committed for these partitions, as it is told to who is no member.

        Raises:
            BrokerUnavailableError: an open transaction holds one of them.
        """
        with self.changed:
            found = self.group(group)
            for partition in partitions:
                if found.is_pending(partition):
                    raise BrokerUnavailableError(f"an open transaction holds {partition}")
            return [
                Commit(partition, *found.committed[partition])
                for partition in partitions
                if partition in found.committed
            ]

    def amend(self, group: str, commits: Sequence[Commit]) -> None:
        """Commit for a group that has no members.

        Raises:
            GroupActiveError: it has some.
        """
        with self.changing():
            found = self.group(group)
            if found.members:
                raise GroupActiveError(group)
            found.store(commits)

    def members(self, group: str) -> dict[str, list[TopicPartition]]:
        """The members of a group, and what each holds."""
        with self.changed:
            return {m.name: sorted(m.held) for m in self.group(group).members.values()}

    def append(self, message: Message) -> Record:
        """Write a message: partition as given, by its key, or in turn.

        Raises:
            DeliveryError: too large, or there is no such partition.
        """
        with self.changing():
            return self._writable(message).append(message, int(self._clock() * 1000))

    def stage(self, message: Message, session: Session) -> Record:
        """As `append`, to be seen when the open transaction of this producer is committed.

        Raises:
            DeliveryError: as `append`; the transaction is as it was.
            FencedError: the producer has ended.
        """
        with self.changing():
            log = self._writable(message)
            transaction = self.coordinator.transaction(session)
            transaction.logs[log] = None
            return log.append(message, int(self._clock() * 1000), transaction)

    def published(self, records: Sequence[Record]) -> None:
        """Called with the records of each transaction that is committed, for who overrides it."""

    def _writable(self, message: Message) -> Log:
        log = self._logs.get(self._place(message))
        if log is None:
            raise DeliveryError(
                f"no partition {message.partition} of topic {message.topic!r}: create it first"
            )
        size = len(message.key or b"") + len(message.value or b"")
        if size > MESSAGE_LIMIT:
            raise DeliveryError(f"{size} bytes: a message holds up to {MESSAGE_LIMIT}")
        return log

    # What happens to logs.

    def skip(self, topic: str, partition: int, count: int = 1) -> None:
        """Use up offsets without records, as transaction markers do."""
        with self.changing():
            self.log(topic, partition).skip(count)

    def delete(self, topic: str, partition: int, offset: int) -> None:
        """Remove one record, as compaction does."""
        with self.changing():
            self.log(topic, partition).delete(offset)

    def truncate(self, topic: str, partition: int, before: int) -> None:
        """Move the start of the log, as retention does."""
        with self.changing():
            self.log(topic, partition).truncate(before)

    # What happens to processes and groups. `member` is `MemoryConsumer.name`: that of its
    # process, for the first consumer.

    def expire(self, member: str) -> None:
        """End a session: others get its partitions at once.

        The member learns it when it polls next (`on_lost`), and joins again after that.
        """
        with self.changing():
            self._group_of(member).remove(member)

    def bounce(self, member: str, topic: str, partition: int) -> None:
        """Take a partition away from its holder, and give it back to the same one."""
        with self.changing():
            self._group_of(member).bounce(member, TopicPartition(topic, partition))

    def rebalance(self, group: str, shift: int = 1) -> None:
        """Move partitions for no reason: in each topic the owners move on by `shift` places."""
        with self.changing():
            self.group(group).rotate(shift)

    def kill(self, process: str) -> None:
        """Take a process away: nothing that its clients do reaches the cluster any more.

        Its members keep their partitions until they are expired.
        """
        with self.changing():
            self._processes[process].alive = False

    # For the clients.

    def find(self, partition: TopicPartition) -> Log:
        """As `log`, for what a client has asked for.

        Raises:
            TopicError: there is no such partition.
        """
        if (log := self._logs.get(partition)) is None:
            number, topic = partition.partition, partition.topic
            raise TopicError(f"no partition {number} of topic {topic!r}: create it first")
        return log

    def delete_records(self, partition: TopicPartition, before: int) -> None:
        """As `truncate`, for a client.

        Raises:
            TopicError: there is no such partition, or it does not reach that far.
        """
        with self.changing():
            log = self.find(partition)
            if before > log.end:
                raise TopicError(f"{partition} ends at {log.end}: {before} is out of its range")
            log.truncate(before)

    def process(self, name: str | None, faults: Faults | None) -> Process:
        """Register a process. Every life of a restarted one has a name of its own."""
        with self.changed:
            name = name or f"process-{len(self._processes) + 1}"
            if name in self._processes:
                raise ConfigurationError(f"there was a process {name!r} already: take another name")
            process = self._processes[name] = Process(name, faults or self.faults)
            return process

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock, and wake who waits for news."""
        with self.changed:
            yield
            self.changes += 1
            self.changed.notify_all()

    def heed_time(self) -> None:
        """Abort the transactions that are open for too long. Costs next to nothing without any."""
        if self.coordinator.overdue():
            with self.changing():
                self.coordinator.stop_overdue()

    def look_for(self, find: Callable[[], Found], timeout: float) -> Found:
        """What `find` finds. While that is nothing, it is asked again after each change, for up to
        `timeout` seconds.
        """
        until = time.monotonic() + timeout
        while True:
            seen = self.changes
            found = find()
            if found or timeout <= 0 or not self.wait(seen, until - time.monotonic()):
                return found

    def wait(self, seen: int, timeout: float) -> bool:
        """Wait until `changes` is another than `seen`; False when it stayed the same."""
        if not self._blocking or timeout <= 0:
            return False
        with self.changed:
            return self.changed.wait_for(lambda: self.changes != seen, timeout)

    def _place(self, message: Message) -> TopicPartition:
        count = self._topics.get(message.topic, 0)
        if message.partition is not None or not count:
            return TopicPartition(message.topic, message.partition or 0)
        if message.key is not None:
            return TopicPartition(message.topic, partition_for(message.key, count))
        turn = self._keyless[message.topic]
        self._keyless[message.topic] += 1
        return TopicPartition(message.topic, turn % count)

    def _group_of(self, member: str) -> Group:
        for group in self._groups.values():
            if member in group.members:
                return group
        raise KeyError(f"no group has a member {member!r} now")
