"""What the rest of streamjobs asks of a broker. Adapters stand beside this file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from streamjobs.errors import ConfigurationError
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
    "LogRange",
    "Message",
    "Producer",
    "Reader",
    "TopicPartition",
    "TopicSpec",
    "Transactions",
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
    """A record to be written. `partition` None lets the key pick it, as Kafka's murmur2 does;
    `timestamp`, in milliseconds since 1970, None stands for now.
    """

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[Header] = ()
    partition: int | None = None
    timestamp: int | None = None


class Delivery(NamedTuple):
    """Where a message was written; with an `error` it was not (or nobody knows). `refused`: it, or
    one of its batch, for what it is; sent again it will be refused again.
    """

    topic: str
    partition: int
    offset: int
    error: str | None = None
    refused: bool = False


class LogRange(NamedTuple):
    """The lowest offset of a partition that can be read, and the offset after the last one.

    Records of a transaction that is still open lie behind the end (Kafka's last stable offset).
    """

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic is created where it is missing.

    `config` has Kafka's own names for settings of topics, such as `cleanup.policy`; of those the
    broker in memory knows `max.message.bytes` alone, the embedded one none.
    """

    name: str
    partitions: int = 1
    replication: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """How a member joins its group. `copartitioned`: whoever has a partition of one topic has that
    of the others, too.
    """

    group: str
    topics: Sequence[str]
    instance: str | None = None
    group_protocol: str = "classic"
    report_ends: bool = False
    copartitioned: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


class Listener(Protocol):
    """Told about the group's decisions, in the thread that polls. Must not raise."""

    @abstractmethod
    def on_assigned(self, assigned: Sequence[Assigned]) -> None:
        """These partitions are ours from now on; called with an empty list, too.

        A partition whose offset an open transaction holds comes later, when that has ended. Until
        then it is neither read nor, if the group takes it away again, revoked.
        """

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

    def group_metadata(self) -> object | None:
        """As whom this member commits in a transaction just now (`Transactions.commit`); None while
        it is no member, and where there are no transactions.

        It belongs to what the listener was told last. So take it in `Listener.on_assigned`, at the
        start of `on_revoked` (which the classic protocol calls in a new generation), and in a poll
        after a transaction was aborted; never for a commit that is about to be made: a member that
        was away for longer than its session, and that has joined again without knowing it, could
        then commit over its successor.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """Leave the group. Calls `Listener.on_revoked` for what is still held."""


class Reader(Protocol):
    """Reads partitions outside of any group, from wherever it is told. Used by one thread only.

    No method waits for longer than its timeout (except that `poll` looks after a broker that is
    away: that takes a second, now and then).
    """

    @abstractmethod
    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read this partition from that offset on, whether it was read before or not. Waits for
        nobody and costs little.

        Below the start of the log it begins at the start; behind its end it brings nothing before
        that offset. A partition that does not exist brings nothing.
        """

    @abstractmethod
    def stop(self, partition: TopicPartition) -> None:
        """Read it no more: not even what was fetched already comes out of a later `poll`."""

    @abstractmethod
    def poll(self, limit: int, timeout: float) -> Sequence[Batch]:
        """Up to `limit` records of the partitions that are read, each partition's in the order of
        its log and from its last `seek` on. Waits up to `timeout` seconds only when there is none;
        may return with none before that.

        Raises:
            BrokerUnavailableError: the broker has been away for too long, or refuses us.
        """

    @abstractmethod
    def at_end(self, partition: TopicPartition) -> bool:
        """Whether all that was in the log, when the client last looked there, has come out of
        `poll`. False from each `seek` to the first poll that finds the end. What has been written
        since is not known: compare with `range` to be sure.
        """

    @abstractmethod
    def range(self, partition: TopicPartition, timeout: float) -> LogRange:
        """What there is to be read, whether this partition is read or not.

        Raises:
            BrokerUnavailableError: nobody answered within `timeout` seconds, or we are refused.
            TopicError: there is no such partition.
        """

    @abstractmethod
    def close(self) -> None:
        """Read nothing any more."""


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


class Transactions(Protocol):
    """A producer whose records appear together with commits of offsets: at once, or never.

    `start` it, then `begin`, `send` and `commit` or `abort`, again and again. Used by one thread
    only. No method waits for longer than its timeout (`send` as that of a `Producer`).

    After UnknownTransactionError and FencedError this one can only be closed: make another one
    with the same id, and start over from what can be read then.
    """

    @abstractmethod
    def start(self, timeout: float) -> None:
        """Take the id over from whoever had it, once: what a predecessor left open is aborted, what
        it had begun to commit is committed, and it is fenced.

        Raises:
            BrokerUnavailableError: nobody answered within `timeout` seconds, or we are refused.
        """

    @abstractmethod
    def begin(self) -> None:
        """Open a transaction. Waits for nobody; the clock of its timeout starts with the first
        record or commit.

        Raises:
            FencedError: as `commit`; where it is not known yet, a later call says so.
        """

    @abstractmethod
    def send(self, message: Message, done: Callable[[Delivery], None] | None = None) -> None:
        """Queue one message of the open transaction; `done` is called once, from `poll`, `commit`
        or `abort`. It says where the message is, not that anybody will ever see it.

        Raises:
            DeliveryError: refused at once (too large, no such topic); `done` is not called, and
                the transaction is as good as before.
            AbortableTransactionError: the transaction has failed, with an earlier message.
            FencedError: as `commit`.
        """

    @abstractmethod
    def poll(self, timeout: float) -> None:
        """Call `done` for what was acknowledged or given up; waits up to `timeout` seconds."""

    @abstractmethod
    def commit(self, commits: Sequence[Commit], group: object | None, timeout: float) -> None:
        """Wait until all messages are written, add the commits, and commit everything.

        `group` is whose commits they are: what `Consumer.group_metadata` said when the partitions
        were assigned. It matters only where there are commits. When this returns, everything is
        committed; readers may see it a moment later.

        Raises:
            AbortableTransactionError: nothing will be seen; `abort` comes next. A message was not
                written (its `done` was told why), `group` is not the membership of today (or None),
                metadata is too long, or time was up before the commit itself.
            UnknownTransactionError: there was no answer to the commit itself.
            FencedError: somebody has started with our id, or the transaction was open for too long.
                (It is committed all the same if the first answer to the commit was lost.)
        """

    @abstractmethod
    def abort(self, timeout: float) -> None:
        """End the open transaction; nothing of it is ever seen.

        Raises:
            UnknownTransactionError: there was no answer. Nothing is committed, but it may be open.
            FencedError: as `commit`.
        """

    @abstractmethod
    def close(self) -> None:
        """Abort what is open, if somebody answers within seconds; does not raise."""


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

    def largest_batches(self, topics: Collection[str], timeout: float) -> Mapping[str, int]:
        """The bytes that a batch of records, or a record alone, may have in each of these topics
        (Kafka's `max.message.bytes`), as far as the broker tells within `timeout` seconds. Does
        not raise: of topics that are not in the answer nobody knows.
        """
        return {}

    @abstractmethod
    def consumer(self, options: ConsumerOptions, listener: Listener) -> Consumer:
        """Join a group. Nothing happens on the network before the first `poll`."""

    @abstractmethod
    def producer(self, extra: Mapping[str, Any]) -> Producer:
        """A producer with idempotence on. `extra` goes to the client as it is."""

    @abstractmethod
    def reader(self, extra: Mapping[str, Any]) -> Reader:
        """A reader. `extra` goes to the client as it is. Nothing happens on the network before its
        first call.
        """

    @property
    def has_transactions(self) -> bool:
        """Whether `transactions` gives any; known with the first answer to `topics`."""
        return True

    def transactions(
        self, transactional_id: str, timeout: float, extra: Mapping[str, Any]
    ) -> Transactions:
        """A producer of transactions, which the broker aborts when they are open for longer than
        `timeout` seconds. `extra` goes to the client as it is.

        `transactional_id` is one process's own. Whoever has the same one next ends what it left
        open; without that, the group's next members wait for it until `timeout` is over.

        Raises:
            ConfigurationError: this broker has no transactions; says why.
        """
        raise ConfigurationError(f"the broker at {self.address} has no transactions")

    def committed(
        self, group: str, partitions: Sequence[TopicPartition], timeout: float
    ) -> Sequence[Commit]:
        """What a group has committed for these partitions, for who is no member of it; those that
        have none are left out.

        Raises:
            BrokerUnavailableError: nobody answered within `timeout` seconds, or an open transaction
                holds one of them.
            ConfigurationError: this broker cannot be asked.
        """
        raise ConfigurationError(f"the broker at {self.address} does not tell what is committed")

    def amend(self, group: str, commits: Sequence[Commit], timeout: float) -> None:
        """Commit for a group that has no members.

        Raises:
            GroupActiveError: it has some; nothing was committed.
            BrokerUnavailableError: nobody answered within `timeout` seconds.
            ConfigurationError: this broker takes no such commit.
        """
        raise ConfigurationError(f"the broker at {self.address} takes commits of members only")

    @abstractmethod
    def delete_records(self, before: Mapping[TopicPartition, int], timeout: float) -> None:
        """Remove for good all records below these offsets (Kafka's DeleteRecords).

        Raises:
            BrokerUnavailableError: nobody answered within `timeout` seconds.
            TopicError: the cluster refused, for one partition at least: there is no such partition,
                its log does not reach that far, or this broker deletes nothing. Others may be done.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of what the adapter started itself (an embedded cluster)."""
