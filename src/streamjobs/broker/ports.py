"""What the rest of streamjobs asks of a broker. Adapters stand beside this file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from streamjobs.record import Header, Record

__all__ = (
    "Assigned",
    "Batch",
    "Broker",
    "Commit",
    "CommitResult",
    "Consumer",
    "ConsumerOptions",
    "Delivery",
    "Listener",
    "Message",
    "Producer",
    "TopicPartition",
    "TopicSpec",
)


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


class Batch(NamedTuple):
    """Records of one partition, in the order of their offsets."""

    partition: TopicPartition
    records: Sequence[Record]


class Assigned(NamedTuple):
    """A partition that was given to this consumer, and where its group had got to.

    `offset` is the next offset to read: the committed one, or where the log starts if that is
    later or nothing was committed. `metadata` was committed beside `committed`.
    """

    partition: TopicPartition
    offset: int
    metadata: str = ""
    committed: int = -1


class Commit(NamedTuple):
    """The next offset to read and the metadata to keep beside it."""

    partition: TopicPartition
    offset: int
    metadata: str


class CommitResult(NamedTuple):
    """What became of the commits of one call. `error` is None when the broker has them."""

    commits: Sequence[Commit]
    error: str | None


class Message(NamedTuple):
    """A record to be written. `partition` None lets the key pick it, as Kafka's murmur2 does."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[Header] = ()
    partition: int | None = None


class Delivery(NamedTuple):
    """Where a message was written; with an `error` it was not (or nobody knows)."""

    topic: str
    partition: int
    offset: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic is created where it is missing."""

    name: str
    partitions: int = 1
    replication: int = 1


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """How a member joins its group."""

    group: str
    topics: Sequence[str]
    instance: str | None = None
    group_protocol: str = "classic"
    report_ends: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


class Listener(Protocol):
    """Told about the group's decisions, in the thread that polls. Must not raise."""

    @abstractmethod
    def on_assigned(self, assigned: Sequence[Assigned]) -> None:
        """These partitions are ours from now on; called with an empty list, too."""

    @abstractmethod
    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """These partitions go to another member when this returns. May block a bounded time,
        and may call `Consumer.commit_now`.
        """

    @abstractmethod
    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """These partitions are gone already; another member may have them. Commit nothing."""

    @abstractmethod
    def on_committed(self, result: CommitResult) -> None:
        """What became of a `Consumer.commit`."""

    @abstractmethod
    def on_end(self, partition: TopicPartition) -> None:
        """The end of this partition's log was reached (with `report_ends`)."""


class Consumer(Protocol):
    """A member of a group. Used by one thread only."""

    @abstractmethod
    def poll(self, limit: int, timeout: float) -> Sequence[Batch]:
        """Up to `limit` records; waits up to `timeout` seconds only when there is none.

        Calls the listener. With `limit` 0 it takes nothing and keeps the membership alive.

        Raises:
            BrokerUnavailableError: the broker has been away for too long, or refuses us.
        """

    @abstractmethod
    def commit(self, commits: Sequence[Commit]) -> None:
        """Send the commits and return at once; `Listener.on_committed` says what became of
        them, during a later `poll`. Until then nothing is known.
        """

    @abstractmethod
    def commit_now(self, commits: Sequence[Commit], timeout: float) -> CommitResult:
        """Commit and wait for the answer. Does not raise: failure is in the result, and a
        failed commit may have been applied all the same.
        """

    @abstractmethod
    def pause(self, partition: TopicPartition) -> None:
        """Fetch no more of this partition. Records fetched before may still come."""

    @abstractmethod
    def resume(self, partition: TopicPartition) -> None:
        """Undo `pause`."""

    @abstractmethod
    def rewind(self, partition: TopicPartition) -> Assigned | None:
        """Read this partition again from what is committed; None if it is not ours."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group. Calls `Listener.on_revoked` for what is still held."""


class Producer(Protocol):
    """Writes records. Safe to use from several threads."""

    @abstractmethod
    def send(self, message: Message, done: Callable[[Delivery], None] | None = None) -> None:
        """Queue one message; `done` is called from `poll` or `flush`, once.

        May block while the queue is full. Messages of one partition keep their order.

        Raises:
            DeliveryError: refused at once (too large, no such topic); `done` is not called.
        """

    @abstractmethod
    def poll(self, timeout: float) -> None:
        """Call `done` for what was acknowledged or given up; waits up to `timeout` seconds."""

    @abstractmethod
    def flush(self, timeout: float) -> int:
        """Wait for everything queued; returns how many messages are still unacknowledged."""


class Broker(Protocol):
    """A way to reach one cluster."""

    @property
    @abstractmethod
    def address(self) -> str:
        """What to show to people."""

    @abstractmethod
    def topics(self, timeout: float) -> Mapping[str, int]:
        """The topics of the cluster and how many partitions each has.

        Raises:
            BrokerUnavailableError: nobody answered within `timeout` seconds.
        """

    @abstractmethod
    def create_topics(self, topics: Sequence[TopicSpec], timeout: float) -> None:
        """Create what is missing; what exists stays as it is.

        Raises:
            TopicError: the cluster refused.
        """

    @abstractmethod
    def consumer(self, options: ConsumerOptions, listener: Listener) -> Consumer:
        """Join a group. Nothing happens on the network before the first `poll`."""

    @abstractmethod
    def producer(self, extra: Mapping[str, Any]) -> Producer:
        """A producer with idempotence on. `extra` goes to the client as it is."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what the adapter started itself (an embedded cluster)."""
