"""Transactions in memory: what can be made to go wrong, and what time does to them."""

from collections.abc import Sequence

import pytest

from streamjobs.broker.memory import MemoryBroker, MemoryCluster, MemoryTransactions
from streamjobs.broker.ports import (
    Assigned,
    Commit,
    Delivery,
    LogRange,
    Message,
    TopicPartition,
)
from streamjobs.errors import (
    AbortableTransactionError,
    BrokerUnavailableError,
    FencedError,
    UnknownTransactionError,
)
from streamjobs.record import Record
from tests.support.members import Member

ONE = TopicPartition("one", 0)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(clock: Clock) -> MemoryCluster:
    return MemoryCluster({"one": 1, "in": 2}, blocking=False, clock=clock)


def begun(broker: MemoryBroker, name: str = "id", timeout: float = 10.0) -> MemoryTransactions:
    transactions = broker.transactions(name, timeout, {})
    transactions.start(1)
    transactions.begin()
    return transactions


def member(broker: MemoryBroker, *topics: str) -> Member:
    joined = Member(broker, "group", *topics or ("one",))
    settle(joined)
    return joined


def settle(*members: Member) -> None:
    for _ in range(6):
        for each in members:
            each.poll(limit=0)


def readable(cluster: MemoryCluster) -> list[bytes | None]:
    records, _ = cluster.log(*ONE).read(0, 100)
    return [record.value for record in records]


# Logs.


def test_a_commit_uses_up_an_offset_of_each_partition_it_wrote_to(cluster: MemoryCluster) -> None:
    transactions = begun(MemoryBroker(cluster))
    for partition in (0, 0, 1):
        transactions.send(Message("in", b"v", partition=partition))
    transactions.commit([], None, 1)
    assert [cluster.log("in", partition).end for partition in (0, 1)] == [3, 2]
    assert cluster.log(*ONE).end == 0


def test_an_abort_leaves_a_gap(cluster: MemoryCluster) -> None:
    transactions = begun(MemoryBroker(cluster))
    transactions.send(Message("one", b"aborted"))
    cluster.append(Message("one", b"a"))
    transactions.abort(1)
    cluster.append(Message("one", b"b"))
    assert [(r.offset, r.value) for r in cluster.log(*ONE).records] == [(1, b"a"), (3, b"b")]


def test_the_first_of_several_open_transactions_holds_back_all(cluster: MemoryCluster) -> None:
    broker = MemoryBroker(cluster)
    first, second = begun(broker, "first"), begun(broker, "second")
    first.send(Message("one", b"1"))
    second.send(Message("one", b"2"))
    second.commit([], None, 1)
    assert readable(cluster) == []
    assert cluster.log(*ONE).stable == 0
    first.abort(1)
    assert readable(cluster) == [b"2"]


def test_a_reader_behind_the_stable_end_waits_there(cluster: MemoryCluster) -> None:
    broker = MemoryBroker(cluster)
    transactions, reader = begun(broker), broker.reader({})
    transactions.send(Message("one", b"open"))
    cluster.append(Message("one", b"a"))
    reader.seek(ONE, 1)
    assert reader.poll(10, 0) == []
    assert reader.at_end(ONE)
    assert reader.range(ONE, 1) == LogRange(0, 0)
    transactions.abort(1)
    [batch] = reader.poll(10, 0)
    assert [record.offset for record in batch.records] == [1]


def test_an_observer_is_told_what_was_committed(clock: Clock) -> None:
    class Observed(MemoryCluster):
        def published(self, records: Sequence[Record]) -> None:
            told.append([record.value for record in records])

    told: list[list[bytes | None]] = []
    transactions = begun(MemoryBroker(Observed({"one": 1}, clock=clock)))
    transactions.send(Message("one", b"aborted"))
    transactions.abort(1)
    transactions.begin()
    transactions.send(Message("one", b"a"))
    transactions.send(Message("one", b"b"))
    assert told == []
    transactions.commit([], None, 1)
    assert told == [[b"a", b"b"]]


# What goes wrong.


def test_a_refused_commit_can_only_be_aborted(cluster: MemoryCluster) -> None:
    broker = MemoryBroker(cluster)
    owner, transactions = member(broker), begun(broker)
    transactions.send(Message("one", b"v"))
    cluster.faults.transactions_refused = 1
    with pytest.raises(AbortableTransactionError):
        transactions.commit([Commit(ONE, 1, "")], owner.consumer.group_metadata(), 1)
    transactions.abort(1)
    assert readable(cluster) == []
    assert cluster.committed("group", *ONE) is None


@pytest.mark.parametrize("fault,kept", [("unanswered", True), ("lost", False)])
def test_the_next_producer_settles_what_nobody_knows(
    fault: str, kept: bool, cluster: MemoryCluster
) -> None:
    broker = MemoryBroker(cluster)
    owner, transactions = member(broker), begun(broker)
    transactions.send(Message("one", b"v"))
    setattr(cluster.faults, f"transactions_{fault}", 1)
    with pytest.raises(UnknownTransactionError):
        transactions.commit([Commit(ONE, 1, "m")], owner.consumer.group_metadata(), 1)
    transactions.close()
    begun(broker)
    assert readable(cluster) == ([b"v"] if kept else [])
    assert cluster.committed("group", *ONE) == ((1, "m") if kept else None)


def test_an_offset_that_a_transaction_holds_is_not_told(cluster: MemoryCluster) -> None:
    broker = MemoryBroker(cluster)
    owner, transactions = member(broker), begun(broker)
    cluster.faults.transactions_lost = 1
    with pytest.raises(UnknownTransactionError):
        transactions.commit([Commit(ONE, 0, "m")], owner.consumer.group_metadata(), 1)
    with pytest.raises(BrokerUnavailableError, match="holds the offset"):
        owner.consumer.rewind(ONE)
    begun(broker)
    assert owner.consumer.rewind(ONE) == Assigned(ONE, 0)


def test_an_id_may_be_taken_over_at_the_last_moment(cluster: MemoryCluster) -> None:
    transactions = begun(MemoryBroker(cluster))
    transactions.send(Message("one", b"v"))
    cluster.faults.transactions_fenced = 1
    with pytest.raises(FencedError, match="another producer"):
        transactions.commit([], None, 1)
    assert readable(cluster) == []


def test_every_call_of_a_fenced_producer_says_so(cluster: MemoryCluster) -> None:
    broker = MemoryBroker(cluster)
    old = begun(broker)
    begun(broker)
    for call in (
        old.begin,
        lambda: old.send(Message("one", b"v")),
        lambda: old.commit([], None, 1),
        lambda: old.abort(1),
    ):
        with pytest.raises(FencedError):
            call()
    old.close()


@pytest.mark.parametrize("fault", ["refused", "unanswered"])
def test_a_message_that_fails_fails_its_transaction(fault: str, cluster: MemoryCluster) -> None:
    transactions, told = begun(MemoryBroker(cluster)), list[Delivery]()
    setattr(cluster.faults, f"sends_{fault}", 1)
    transactions.send(Message("one", b"a"), told.append)
    with pytest.raises(AbortableTransactionError, match="before this one"):
        transactions.send(Message("one", b"b"))
    with pytest.raises(AbortableTransactionError, match="fault"):
        transactions.commit([], None, 1)
    assert told[0].error is not None
    transactions.abort(1)
    transactions.begin()
    transactions.send(Message("one", b"c"))
    transactions.commit([], None, 1)
    assert readable(cluster) == [b"c"]


def test_a_commit_waits_for_what_is_not_acknowledged(cluster: MemoryCluster) -> None:
    transactions, told = begun(MemoryBroker(cluster)), list[Delivery]()
    cluster.faults.answers_held = True
    transactions.send(Message("one", b"v"), told.append)
    with pytest.raises(AbortableTransactionError, match="1 records were not acknowledged"):
        transactions.commit([], None, 1)
    transactions.abort(1)
    assert [each.error for each in told] == ["_PURGE: the transaction was aborted"]


def test_a_broker_that_is_away_answers_neither_start_nor_commit_nor_abort(
    cluster: MemoryCluster,
) -> None:
    broker = MemoryBroker(cluster)
    transactions = begun(broker)
    transactions.send(Message("one", b"v"))
    cluster.faults.away = True
    with pytest.raises(AbortableTransactionError):
        transactions.commit([], None, 1)
    with pytest.raises(UnknownTransactionError):
        transactions.abort(1)
    with pytest.raises(BrokerUnavailableError):
        broker.transactions("id", 10.0, {}).start(1)
    cluster.faults.away = False
    assert cluster.log(*ONE).stable == 0
    begun(broker)
    assert cluster.log(*ONE).stable == 2


def test_a_killed_process_leaves_it_open_and_its_successor_ends_it(cluster: MemoryCluster) -> None:
    dead = begun(MemoryBroker(cluster, "dead"))
    dead.send(Message("one", b"v"))
    cluster.kill("dead")
    dead.close()
    cluster.append(Message("one", b"a"))
    assert readable(cluster) == []
    begun(MemoryBroker(cluster))
    assert readable(cluster) == [b"a"]


# Time.


def test_a_transaction_ends_when_its_time_is_over(cluster: MemoryCluster, clock: Clock) -> None:
    broker = MemoryBroker(cluster)
    slow, reader = begun(broker, timeout=10.0), broker.reader({})
    clock.now += 60  # it is not open before there is something in it
    slow.send(Message("one", b"late"))
    cluster.append(Message("one", b"a"))
    clock.now += 9.9
    assert reader.range(ONE, 1).end == 0
    clock.now += 0.1
    assert reader.range(ONE, 1) == (0, 3)
    assert readable(cluster) == [b"a"]
    with pytest.raises(FencedError, match="open for more than 10 s"):
        slow.commit([], None, 1)


def test_a_partition_waits_for_the_transaction_of_a_dead_one_until_its_time_is_over(
    cluster: MemoryCluster, clock: Clock
) -> None:
    dying = MemoryBroker(cluster, "dead")
    first, transactions = member(dying, "in"), begun(dying)
    first.commit_now("in", 0, 0, "stale")
    cluster.faults.transactions_lost = 1
    pending, free = TopicPartition("in", 0), TopicPartition("in", 1)
    with pytest.raises(UnknownTransactionError):
        transactions.commit([Commit(pending, 1, "")], first.consumer.group_metadata(), 1)
    cluster.kill("dead")
    cluster.expire("dead")
    second = member(MemoryBroker(cluster, "next"), "in")
    assert second.told == [("assigned", [free])]
    clock.now += 10
    settle(second)
    assert second.assigned(*pending).metadata == "stale"


# Groups.


def test_a_rebalance_ends_a_generation_before_its_members_hear_of_it(
    cluster: MemoryCluster,
) -> None:
    broker = MemoryBroker(cluster)
    owner, transactions = member(broker, "in"), begun(broker)
    commits = [Commit(TopicPartition("in", 0), 1, "")]
    cluster.rebalance("group")
    with pytest.raises(AbortableTransactionError, match="ILLEGAL_GENERATION"):
        transactions.commit(commits, owner.consumer.group_metadata(), 1)
    transactions.abort(1)
    settle(owner)
    transactions.begin()
    transactions.commit(commits, owner.consumer.group_metadata(), 1)
    assert cluster.committed("group", "in", 0) == (1, "")


def test_a_session_that_is_over_commits_nothing(cluster: MemoryCluster) -> None:
    broker = MemoryBroker(cluster, "a")
    owner, transactions = member(broker), begun(broker)
    cluster.expire("a")
    with pytest.raises(AbortableTransactionError, match="UNKNOWN_MEMBER_ID"):
        transactions.commit([Commit(ONE, 1, "")], owner.consumer.group_metadata(), 1)


def test_who_has_left_is_nobody(cluster: MemoryCluster) -> None:
    owner = member(MemoryBroker(cluster))
    assert owner.consumer.group_metadata() is not None
    owner.leave()
    assert owner.consumer.group_metadata() is None


# Mistakes.


def test_steps_in_another_order_are_mistakes(cluster: MemoryCluster) -> None:
    transactions = MemoryBroker(cluster).transactions("id", 10.0, {})
    with pytest.raises(RuntimeError, match="start one first"):
        transactions.begin()
    transactions.start(1)
    for call in (
        lambda: transactions.send(Message("one", b"v")),
        lambda: transactions.commit([], None, 1),
        lambda: transactions.abort(1),
    ):
        with pytest.raises(RuntimeError, match="begin first"):
            call()
    transactions.begin()
    with pytest.raises(RuntimeError, match="still open"):
        transactions.begin()
