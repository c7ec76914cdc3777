"""What transactions do alike, in memory and on a real Kafka.

The embedded broker refuses them: see tests/broker/test_embedded.py.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamjobs.broker.ports import (
    Broker,
    Commit,
    Delivery,
    LogRange,
    Message,
    Reader,
    TopicPartition,
    Transactions,
)
from streamjobs.errors import (
    AbortableTransactionError,
    DeliveryError,
    FencedError,
)
from tests.contract.messages import numbered
from tests.support.members import WITHIN, Member, poll_until

Create = Callable[..., str]
Join = Callable[..., Member]
Open = Callable[..., Transactions]
Write = Callable[..., list[Delivery]]

pytestmark = pytest.mark.parametrize("adapter", ["memory", "kafka"], indirect=True, scope="session")

CJK = "".join(chr(0x4E00 + number) for number in range(4096))


@pytest.fixture
def open_(broker: Broker, topic_name: str) -> Iterator[Open]:
    """A started producer of transactions: `open_()`, and with a suffix another id's."""
    opened: list[Transactions] = []

    def open_(suffix: str = "", timeout: float = 30.0) -> Transactions:
        opened.append(broker.transactions(topic_name + suffix, timeout, {}))
        opened[-1].start(WITHIN)
        return opened[-1]

    yield open_
    for transactions in opened:
        transactions.close()


class Owner(Member):
    """Knows as whom it commits, as the engine does."""

    group: object = None

    def on_assigned(self, assigned: Any) -> None:
        super().on_assigned(assigned)
        self.group = self.consumer.group_metadata()

    def on_revoked(self, partitions: Any) -> None:
        self.group = self.consumer.group_metadata()
        super().on_revoked(partitions)


@pytest.fixture
def own(broker: Broker, topic_name: str) -> Iterator[Callable[..., Owner]]:
    """As `join`, and it holds the partitions already."""
    owners: list[Owner] = []

    def own(topic: str, partitions: int = 1, **options: Any) -> Owner:
        owners.append(Owner(broker, topic_name, topic, **options))
        poll_until(lambda: len(owners[-1].held) == partitions, owners[-1])
        return owners[-1]

    yield own
    for owner in owners:
        owner.leave()


Own = Callable[..., Owner]


def read(reader: Reader, partition: TopicPartition, start: int = 0) -> list[bytes | None]:
    """What can be read of this partition now."""
    values: list[bytes | None] = []
    reader.seek(partition, start)
    deadline = time.monotonic() + WITHIN
    while not reader.at_end(partition) and time.monotonic() < deadline:
        values += [record.value for _, records in reader.poll(1000, 0.05) for record in records]
    return values


def wait_for(condition: Callable[[], object]) -> None:
    """A commit is there for readers a moment after it was made."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# All or nothing.


def test_records_offsets_and_metadata_appear_together(
    create: Create, own: Own, open_: Open, reader: Reader
) -> None:
    topic, output = create(2), create(2, "-output")
    first, transactions = own(topic, 2), open_()
    transactions.begin()
    for message in numbered(output, 4) + numbered(output, 4, 1):
        transactions.send(message)
    places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    commits = [Commit(places[0], 3, "zero"), Commit(places[1], 7, "one")]
    transactions.commit(commits, first.group, WITHIN)
    for number in (0, 1):
        wait_for(lambda n=number: len(read(reader, TopicPartition(output, n))) == 4)
    first.leave()
    second = own(topic, 2)
    assert [second.assigned(*place)[2:] for place in places] == [("zero", 3), ("one", 7)]


def test_an_open_transaction_is_not_seen_and_comes_in_order_with_what_was_written_meanwhile(
    create: Create, open_: Open, reader: Reader, write: Write
) -> None:
    partition, transactions = TopicPartition(create(1), 0), open_()
    told: list[Delivery] = []
    write(Message(partition.topic, b"before", partition=0))
    transactions.begin()
    transactions.send(Message(partition.topic, b"inside", partition=0), told.append)
    wait_for(lambda: transactions.poll(0.05) or told)
    write(Message(partition.topic, b"meanwhile", partition=0))
    assert read(reader, partition) == [b"before"]
    assert reader.range(partition, WITHIN) == LogRange(0, 1)
    transactions.commit([], None, WITHIN)
    wait_for(lambda: reader.range(partition, WITHIN) == LogRange(0, 4))  # its marker has an offset
    assert read(reader, partition) == [b"before", b"inside", b"meanwhile"]
    assert told == [Delivery(partition.topic, 0, 1)]


def test_a_member_does_not_see_an_open_transaction_either(
    create: Create, join: Join, open_: Open
) -> None:
    topic, transactions = create(1), open_()
    member = join(topic)
    transactions.begin()
    transactions.send(Message(topic, b"v"))
    transactions.commit([], None, WITHIN)
    poll_until(lambda: member.records, member)
    transactions.begin()
    transactions.send(Message(topic, b"open"))
    transactions.poll(0.5)
    assert member.poll(timeout=0.5) == []
    transactions.commit([], None, WITHIN)
    poll_until(lambda: member.values == [b"v", b"open"], member)


def test_nothing_of_an_aborted_transaction_is_left(
    create: Create, own: Own, open_: Open, reader: Reader
) -> None:
    topic = create(1)
    partition, first, transactions = TopicPartition(topic, 0), own(topic), open_()
    transactions.begin()
    transactions.send(Message(topic, b"aborted", partition=0))
    transactions.poll(0.5)
    transactions.abort(WITHIN)
    transactions.begin()
    transactions.send(Message(topic, b"kept", partition=0))
    with pytest.raises(AbortableTransactionError):
        transactions.commit([Commit(partition, 1, CJK)], first.group, WITHIN)
    transactions.abort(WITHIN)
    transactions.begin()
    transactions.send(Message(topic, b"seen", partition=0))
    transactions.commit([], None, WITHIN)
    wait_for(lambda: read(reader, partition) == [b"seen"])
    first.leave()
    assert own(topic).assigned(topic, 0).committed == -1


def test_commits_alone_are_enough(create: Create, own: Own, open_: Open) -> None:
    topic = create(1)
    first, transactions = own(topic), open_()
    for offset in (1, 2):
        transactions.begin()
        commit = Commit(TopicPartition(topic, 0), offset, "note")
        transactions.commit([commit], first.group, WITHIN)
    transactions.begin()
    transactions.commit([], None, WITHIN)  # nothing at all, too
    first.leave()
    assert own(topic).assigned(topic, 0)[2:] == ("note", 2)


def test_thousands_of_records_are_told_once_each_and_seen_in_order(
    create: Create, open_: Open, reader: Reader
) -> None:
    partition, transactions = TopicPartition(create(1), 0), open_()
    told: list[Delivery] = []
    for first in (0, 3000):
        transactions.begin()
        for message in numbered(partition.topic, 3000, first=first):
            transactions.send(message, told.append)
        transactions.commit([], None, WITHIN)
    assert len(told) == len({each.offset for each in told}) == 6000
    assert not any(each.error for each in told)
    wait_for(lambda: reader.range(partition, WITHIN).end == 6002)
    assert read(reader, partition) == [b"%d" % number for number in range(6000)]


# What is refused.


def test_a_message_that_is_too_large_is_refused_and_the_transaction_goes_on(
    create: Create, open_: Open, reader: Reader, topic_name: str
) -> None:
    topic, transactions = create(1), open_()
    transactions.begin()
    transactions.send(Message(topic, b"a"))
    for bad in (Message(topic, b"v" * 2_000_000), Message(topic_name + "-missing", b"v")):
        with pytest.raises(DeliveryError):
            transactions.send(bad)
    transactions.send(Message(topic, b"b"))
    transactions.commit([], None, WITHIN)
    wait_for(lambda: read(reader, TopicPartition(topic, 0)) == [b"a", b"b"])


def test_metadata_of_4095_characters_is_kept_and_4096_can_only_be_aborted(
    create: Create, own: Own, open_: Open
) -> None:
    topic = create(1)
    partition, first, transactions = TopicPartition(topic, 0), own(topic), open_()
    transactions.begin()
    transactions.commit([Commit(partition, 1, CJK[:4095])], first.group, WITHIN)
    transactions.begin()
    with pytest.raises(AbortableTransactionError, match=r"(?i)metadata"):
        transactions.commit([Commit(partition, 2, CJK)], first.group, WITHIN)
    transactions.abort(WITHIN)
    first.leave()
    assert own(topic).assigned(topic, 0)[2:] == (CJK[:4095], 1)


# Fencing.


def test_the_next_with_the_same_id_fences_and_aborts_what_was_open(
    create: Create, open_: Open, reader: Reader
) -> None:
    partition, old = TopicPartition(create(1), 0), open_()
    old.begin()
    old.send(Message(partition.topic, b"old"))
    old.poll(0.5)
    new = open_()
    new.begin()
    new.send(Message(partition.topic, b"new"))
    new.commit([], None, WITHIN)
    with pytest.raises(FencedError, match=r"same one|another producer"):
        old.commit([], None, WITHIN)
    with pytest.raises(FencedError):
        old.begin()
    old.close()
    wait_for(lambda: read(reader, partition) == [b"new"])


def test_who_was_fenced_hears_it_from_an_abort_too(create: Create, open_: Open) -> None:
    topic, old = create(1), open_()
    old.begin()
    old.send(Message(topic, b"old"))
    old.poll(0.5)
    open_()
    with pytest.raises(FencedError):
        old.abort(WITHIN)


def test_ids_do_not_know_of_each_other(create: Create, open_: Open, reader: Reader) -> None:
    partition, one = TopicPartition(create(1), 0), open_()
    one.begin()
    one.send(Message(partition.topic, b"one"))
    other = open_("-other")
    other.begin()
    other.send(Message(partition.topic, b"other"))
    other.commit([], None, WITHIN)
    one.commit([], None, WITHIN)
    wait_for(lambda: sorted(read(reader, partition)) == [b"one", b"other"])


def test_nobody_and_who_has_not_joined_commit_no_offsets(
    create: Create, join: Join, open_: Open
) -> None:
    topic, transactions = create(1), open_()
    stranger = join(topic)
    assert stranger.consumer.group_metadata() is None
    transactions.begin()
    with pytest.raises(AbortableTransactionError, match="members of the group"):
        transactions.commit([Commit(TopicPartition(topic, 0), 1, "")], None, WITHIN)
    transactions.abort(WITHIN)


def test_a_group_of_an_old_generation_cannot_commit(
    create: Create, own: Own, join: Join, open_: Open
) -> None:
    topic = create(2)
    first, transactions = own(topic, 2), open_()
    stale = first.group
    second = join(topic)
    poll_until(lambda: len(first.held) == len(second.held) == 1, first, second)
    commits = [Commit(place, 1, "") for place in first.held]
    transactions.begin()
    with pytest.raises(AbortableTransactionError, match=r"(?i)generation"):
        transactions.commit(commits, stale, WITHIN)
    transactions.abort(WITHIN)

    def committed() -> bool:
        """A group may go through several rounds, and each makes a generation."""
        transactions.begin()
        try:
            transactions.commit(commits, first.group, WITHIN)
        except AbortableTransactionError:
            transactions.abort(WITHIN)
            return False
        return True

    poll_until(committed, first, second)


def test_what_is_revoked_is_committed_in_a_transaction_and_handed_over(
    create: Create, own: Own, join: Join, open_: Open
) -> None:
    topic = create(2)
    first, transactions = own(topic, 2), open_()

    def last_words(revoked: Any) -> None:
        transactions.begin()
        commits = [Commit(place, 5, "handed over") for place in revoked]
        transactions.commit(commits, first.group, WITHIN)

    first.when_revoked = last_words
    second = join(topic)
    poll_until(lambda: second.held, first, second)
    [place] = second.held
    assert second.assigned(*place)[2:] == ("handed over", 5)
    first.when_revoked = lambda _: None


# Waiting for who left something open.


@pytest.fixture
def hang(adapter: str, broker: Any, topic_name: str, kafka_address: str | None) -> Any:
    """Commit in a transaction that stays open, as of a process that died just then; what it
    returns has the same id, and is not started.
    """

    def hang(commits: list[Commit], owner: Owner, timeout: float) -> Transactions:
        transactional_id = topic_name + "-hung"
        if adapter == "memory":
            from streamjobs.errors import UnknownTransactionError

            hung = broker.transactions(transactional_id, timeout, {})
            hung.start(WITHIN)
            hung.begin()
            broker.faults.transactions_lost = 1
            with pytest.raises(UnknownTransactionError):
                hung.commit(commits, owner.group, WITHIN)
        else:
            from confluent_kafka import Producer

            from streamjobs.broker.quix.group_client import commit_offsets

            client = Producer(
                {
                    "bootstrap.servers": kafka_address,
                    "transactional.id": transactional_id,
                    "transaction.timeout.ms": round(timeout * 1000),
                }
            )
            client.init_transactions(WITHIN)
            client.begin_transaction()
            client.send_offsets_to_transaction(commit_offsets(commits), owner.group, WITHIN)
        return broker.transactions(transactional_id, timeout, {})

    return hang


@pytest.fixture
def kafka_address(adapter: str, request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("kafka") if adapter == "kafka" else None


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_partition_whose_offset_is_pending_is_assigned_later_and_others_are_not(
    protocol: str,
    create: Create,
    own: Own,
    open_: Open,
    write: Write,
    broker: Broker,
    topic_name: str,
    hang: Any,
) -> None:
    topic = create(2)
    write(*numbered(topic, 5), *numbered(topic, 5, 1))
    pending, free = TopicPartition(topic, 0), TopicPartition(topic, 1)
    first = own(topic, 2, group_protocol=protocol)
    assert first.commit_now(*pending, 1, "stale").error is None
    successor = hang([Commit(pending, 3, "open")], first, timeout=60.0)
    first.leave()
    second = Owner(broker, topic_name, topic, group_protocol=protocol)
    try:
        poll_until(lambda: second.read(*free) == [0, 1, 2, 3, 4], second)
        assert second.held == {free}
        assert second.read(*pending) == []
        successor.start(WITHIN)
        poll_until(lambda: second.read(*pending) == [1, 2, 3, 4], second)
        assert second.assigned(*pending)[1:] == (1, "stale", 1)
    finally:
        second.leave()
        successor.close()


def test_a_pending_partition_that_moves_on_is_never_told(
    create: Create, own: Own, broker: Broker, topic_name: str, open_: Open, hang: Any
) -> None:
    topic = create(1)
    partition, first = TopicPartition(topic, 0), own(topic)
    successor = hang([Commit(partition, 3, "open")], first, timeout=60.0)
    first.leave()
    second = Owner(broker, topic_name, topic)
    poll_until(lambda: second.told, second)
    second.leave()
    assert second.told == [("assigned", [])]
    third = Owner(broker, topic_name, topic)
    successor.start(WITHIN)
    poll_until(lambda: third.held, third)
    third.leave()
    successor.close()


def test_closing_aborts_what_is_open(create: Create, open_: Open, reader: Reader) -> None:
    partition, transactions = TopicPartition(create(1), 0), open_()
    told: list[Delivery] = []
    transactions.begin()
    transactions.send(Message(partition.topic, b"never"), told.append)
    transactions.poll(0.5)
    transactions.close()
    transactions.close()
    assert len(told) == 1
    wait_for(lambda: reader.range(partition, WITHIN).end > 0)
    assert read(reader, partition) == []


def test_closing_what_was_never_opened_is_quick(broker: Broker, open_: Open) -> None:
    begun = time.monotonic()
    open_().close()
    broker.transactions("never-started", 10.0, {}).close()
    assert time.monotonic() - begun < 3


def test_a_transaction_that_is_open_for_too_long_ends_and_a_new_one_goes_on(
    create: Create, open_: Open, reader: Reader
) -> None:
    partition, slow = TopicPartition(create(1), 0), open_(timeout=1.0)
    slow.begin()
    slow.send(Message(partition.topic, b"late"))
    slow.poll(0.5)
    # Kafka looks every ten seconds.
    wait_for(lambda: reader.range(partition, WITHIN).end > 0)
    with pytest.raises(FencedError, match="open for"):
        slow.commit([], None, WITHIN)
    again = open_(timeout=1.0)
    again.begin()
    again.send(Message(partition.topic, b"in time"))
    again.commit([], None, WITHIN)
    wait_for(lambda: read(reader, partition) == [b"in time"])
