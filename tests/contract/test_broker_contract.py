"""What every adapter does alike: in memory, embedded, and on a real Kafka."""

import time
from collections.abc import Callable

import pytest

from streamjobs.broker.ports import (
    Assigned,
    Broker,
    Commit,
    Delivery,
    Message,
    TopicPartition,
    TopicSpec,
)
from streamjobs.errors import DeliveryError
from streamjobs.partitioning import partition_for
from tests.contract.messages import numbered
from tests.support.members import WITHIN, Member, poll_for, poll_until

Create = Callable[..., str]
Join = Callable[..., Member]
Write = Callable[..., list[Delivery]]

CJK = "".join(chr(0x4E00 + number) for number in range(4096))


# Records.


def test_a_partition_is_read_in_the_order_it_was_written(
    create: Create, join: Join, write: Write
) -> None:
    topic = create(1)
    write(*numbered(topic, 1000))
    reader = join(topic)
    poll_until(lambda: len(reader.records) >= 1000, reader)
    assert reader.values == [b"%d" % number for number in range(1000)]
    assert reader.read(topic, 0) == list(range(1000))


@pytest.mark.parametrize("key", [b"k", b"", None])
@pytest.mark.parametrize("value", [b"v", b"", None])
def test_keys_and_values_come_back_as_they_were_written(
    key: bytes | None, value: bytes | None, create: Create, join: Join, write: Write
) -> None:
    topic = create(1)
    write(Message(topic, value, key))
    reader = join(topic)
    poll_until(lambda: reader.records, reader)
    assert (reader.records[0].key, reader.records[0].value) == (key, value)


def test_headers_come_back_in_order_with_doubles_and_none(
    create: Create, join: Join, write: Write
) -> None:
    topic = create(1)
    headers = [("b", b"1"), ("a", b"\xff"), ("b", b"2"), ("none", None), ("empty", b"")]
    write(Message(topic, b"v", headers=headers), Message(topic, b"bare"))
    reader = join(topic)
    poll_until(lambda: len(reader.records) == 2, reader)
    assert [list(record.headers) for record in reader.records] == [headers, []]


def test_records_are_stamped_with_milliseconds(create: Create, join: Join, write: Write) -> None:
    topic = create(1)
    write(Message(topic, b"v"))
    reader = join(topic)
    poll_until(lambda: reader.records, reader)
    assert abs(reader.records[0].timestamp / 1000 - time.time()) < 60


def test_a_key_is_placed_as_every_kafka_client_places_it(create: Create, write: Write) -> None:
    topic = create(7)
    keys = [b"", b"k", "ключ".encode(), *(b"key-%d" % number for number in range(100))]
    placed = [delivery.partition for delivery in write(*(Message(topic, b"", k) for k in keys))]
    assert placed == [partition_for(key, 7) for key in keys]


def test_a_chosen_partition_wins_over_the_key(create: Create, write: Write) -> None:
    topic = create(3)
    chosen = [Message(topic, b"", b"k", partition=partition) for partition in (0, 1, 2)]
    assert [delivery.partition for delivery in write(*chosen)] == [0, 1, 2]


# Producers.


def test_a_delivery_says_where_the_message_is(create: Create, write: Write) -> None:
    topic = create(2)
    told = write(*numbered(topic, 2, partition=1))
    assert told == [Delivery(topic, 1, 0), Delivery(topic, 1, 1)]


def test_done_is_called_once_and_not_in_send(broker: Broker, create: Create) -> None:
    topic, told = create(1), list[Delivery]()
    producer = broker.producer({})
    producer.send(Message(topic, b"v"), told.append)
    assert told == []
    producer.flush(WITHIN)
    producer.poll(0)
    producer.flush(WITHIN)
    assert told == [Delivery(topic, 0, 0)]


def test_done_is_called_in_poll(broker: Broker, create: Create) -> None:
    topic, told = create(1), list[Delivery]()
    producer = broker.producer({})
    producer.send(Message(topic, b"v"), told.append)
    deadline = time.monotonic() + WITHIN
    while not told and time.monotonic() < deadline:
        producer.poll(0.1)
    assert told == [Delivery(topic, 0, 0)]


def test_a_message_that_is_too_large_fails_and_the_next_does_not(
    create: Create, write: Write
) -> None:
    topic = create(1)
    assert refused(write, Message(topic, b"v" * 2_000_000))
    assert write(Message(topic, b"v")) == [Delivery(topic, 0, 0)]


def test_a_message_to_a_missing_topic_fails(topic_name: str, write: Write) -> None:
    assert refused(write, Message(topic_name, b"v"))


def refused(write: Write, message: Message) -> bool:
    """Whether it was refused at once or later; both are what the port says."""
    try:
        return write(message)[0].error is not None
    except DeliveryError:
        return True


# Topics.


def test_a_member_whose_topic_is_missing_holds_nothing(topic_name: str, join: Join) -> None:
    reader = join(topic_name)
    poll_for(2.0, reader)
    assert reader.held == set()
    assert reader.records == []


def test_topics_are_listed_with_their_partitions(broker: Broker, create: Create) -> None:
    topic = create(3)
    assert broker.topics(WITHIN)[topic] == 3


def test_a_topic_that_exists_stays_as_it_is(
    broker: Broker, create: Create, join: Join, write: Write
) -> None:
    topic = create(2)
    write(Message(topic, b"v"))
    broker.create_topics([TopicSpec(topic, 5), TopicSpec(topic, 5)], WITHIN)
    assert broker.topics(WITHIN)[topic] == 2
    reader = join(topic)
    poll_until(lambda: reader.records, reader)


def test_a_topic_says_how_large_its_records_may_be(
    adapter: str, broker: Broker, topic_name: str, write: Write
) -> None:
    config = {"max.message.bytes": "2000"}
    broker.create_topics([TopicSpec(topic_name, 1, config=config)], WITHIN)

    told = broker.largest_batches([topic_name], WITHIN)

    if adapter == "embedded":
        assert told == {}  # it has no settings of topics
    else:
        assert told == {topic_name: 2000}
        assert write(Message(topic_name, b"v" * 3000))[0].refused
        assert write(Message(topic_name, b"v" * 1000))[0].error is None


def test_of_a_topic_that_is_missing_nobody_knows_how_large_its_records_may_be(
    adapter: str, broker: Broker, topic_name: str
) -> None:
    told = broker.largest_batches([topic_name], WITHIN)

    assert topic_name not in told


def test_no_topics_are_created_at_once(broker: Broker) -> None:
    broker.create_topics([], WITHIN)


# Polling.


def test_a_poll_takes_no_more_than_its_limit(create: Create, join: Join, write: Write) -> None:
    topic = create(2)
    write(*numbered(topic, 20), *numbered(topic, 20, partition=1))
    reader = join(topic)
    counts: list[int] = []
    deadline = time.monotonic() + WITHIN
    while sum(counts) < 40 and time.monotonic() < deadline:
        counts.append(len(reader.poll(limit=3, timeout=0.05)))
    assert max(counts) <= 3
    assert [reader.read(topic, partition) for partition in (0, 1)] == [list(range(20))] * 2


def test_a_poll_without_a_limit_joins_and_takes_nothing(
    create: Create, join: Join, write: Write
) -> None:
    topic = create(1)
    write(*numbered(topic, 5))
    reader = join(topic)
    deadline = time.monotonic() + WITHIN
    while not reader.held and time.monotonic() < deadline:
        assert reader.poll(limit=0, timeout=0.05) == []
    assert reader.held == {(topic, 0)}
    poll_until(lambda: len(reader.records) == 5, reader)


def test_an_empty_poll_waits_no_longer_than_its_timeout(create: Create, join: Join) -> None:
    reader = join(create(1))
    poll_until(lambda: reader.held, reader)
    begun = time.monotonic()
    assert reader.poll(timeout=0.2) == []
    assert time.monotonic() - begun < 2


def test_a_batch_holds_one_partition(create: Create, join: Join, write: Write) -> None:
    topic = create(2)
    write(*(message for n in range(20) for message in numbered(topic, 1, n % 2, first=n)))
    reader = join(topic)
    count, deadline = 0, time.monotonic() + WITHIN
    while count < 20 and time.monotonic() < deadline:
        for partition, records in reader.consumer.poll(100, 0.05):
            assert {TopicPartition(r.topic, r.partition) for r in records} == {partition}
            count += len(records)
    assert count == 20


def test_the_end_of_a_partition_is_told_each_time_it_is_reached(
    create: Create, join: Join, write: Write
) -> None:
    topic = create(2)
    write(*numbered(topic, 3))
    reader = join(topic, report_ends=True)
    poll_until(lambda: len(reader.ends) == 2, reader)
    assert set(reader.ends) == {(topic, 0), (topic, 1)}
    assert len(reader.records) == 3
    write(*numbered(topic, 1))
    poll_until(lambda: len(reader.ends) == 3, reader)
    assert reader.ends[2] == (topic, 0)
    assert len(reader.records) == 4


def test_ends_are_not_told_unasked(create: Create, join: Join) -> None:
    reader = join(create(1))
    poll_until(lambda: reader.held, reader)
    poll_for(1.0, reader)
    assert reader.ends == []


def test_a_paused_partition_brings_nothing_until_it_is_resumed(
    create: Create, join: Join, write: Write
) -> None:
    topic = create(2)
    reader = join(topic)
    poll_until(lambda: len(reader.held) == 2, reader)
    reader.consumer.pause(TopicPartition(topic, 0))
    write(*numbered(topic, 3), *numbered(topic, 3, partition=1))
    poll_until(lambda: len(reader.read(topic, 1)) == 3, reader)
    poll_for(1.0, reader)
    assert reader.read(topic, 0) == []
    reader.consumer.resume(TopicPartition(topic, 0))
    poll_until(lambda: reader.read(topic, 0) == [0, 1, 2], reader)


# Progress.


def test_a_new_group_starts_where_the_log_does(create: Create, join: Join, write: Write) -> None:
    topic = create(1)
    write(*numbered(topic, 2))
    reader = join(topic)
    poll_until(lambda: len(reader.records) == 2, reader)
    assert reader.assignments == [Assigned(TopicPartition(topic, 0), 0, "")]


def test_a_commit_is_answered_in_a_later_poll(create: Create, join: Join, write: Write) -> None:
    topic = create(1)
    write(*numbered(topic, 3))
    reader = join(topic)
    poll_until(lambda: reader.held, reader)
    reader.commit(topic, 0, 2, "note")
    assert reader.commits == []
    poll_until(lambda: reader.commits, reader)
    assert [list(result.commits) for result in reader.commits] == [
        [Commit(TopicPartition(topic, 0), 2, "note")]
    ]
    assert reader.commits[0].error is None


def test_the_next_member_goes_on_from_a_commit(create: Create, join: Join, write: Write) -> None:
    topic = create(1)
    write(*numbered(topic, 5))
    first = join(topic)
    poll_until(lambda: first.held, first)
    first.commit(topic, 0, 3, "note")
    poll_until(lambda: first.commits, first)
    first.leave()
    second = join(topic)
    poll_until(lambda: len(second.records) == 2, second)
    assert second.assignments == [Assigned(TopicPartition(topic, 0), 3, "note", 3)]
    assert second.read(topic, 0) == [3, 4]


def test_commit_now_is_done_when_it_returns(create: Create, join: Join, write: Write) -> None:
    topic = create(2)
    write(*numbered(topic, 5))
    first = join(topic)
    poll_until(lambda: len(first.held) == 2, first)
    commits = [Commit(TopicPartition(topic, 0), 4, "a"), Commit(TopicPartition(topic, 1), 0, "b")]
    assert first.consumer.commit_now(commits, WITHIN) == (commits, None)
    assert first.commits == []
    first.leave()
    second = join(topic)
    poll_until(lambda: len(second.held) == 2, second)
    assert [second.assigned(topic, partition)[1:] for partition in (0, 1)] == [
        (4, "a", 4),
        (0, "b", 0),
    ]


def test_a_later_commit_may_go_back(create: Create, join: Join, write: Write) -> None:
    topic = create(1)
    write(*numbered(topic, 5))
    first = join(topic)
    poll_until(lambda: first.held, first)
    first.commit_now(topic, 0, 4, "far")
    first.commit_now(topic, 0, 1)
    first.leave()
    second = join(topic)
    poll_until(lambda: second.held, second)
    assert second.assigned(topic, 0)[1:] == (1, "", 1)


def test_metadata_of_4095_characters_of_any_script_is_kept(create: Create, join: Join) -> None:
    topic = create(1)
    first = join(topic)
    poll_until(lambda: first.held, first)
    assert first.commit_now(topic, 0, 0, CJK[:4095]).error is None
    first.leave()
    second = join(topic)
    poll_until(lambda: second.held, second)
    assert second.assigned(topic, 0).metadata == CJK[:4095]


def test_longer_metadata_is_refused(adapter: str, create: Create, join: Join) -> None:
    topic = create(1)
    first = join(topic)
    poll_until(lambda: first.held, first)
    first.commit(topic, 0, 0, CJK)
    poll_until(lambda: first.commits, first)
    errors = [first.commits[0].error, first.commit_now(topic, 0, 0, CJK).error]
    if adapter == "embedded":  # knows no limit
        assert errors == [None, None]
    else:
        assert None not in errors


def test_a_rewound_partition_is_read_again_from_what_is_committed(
    create: Create, join: Join, write: Write
) -> None:
    topic = create(2)
    write(*numbered(topic, 5), *numbered(topic, 5, partition=1))
    reader = join(topic)
    poll_until(lambda: len(reader.records) == 10, reader)
    reader.commit_now(topic, 0, 3, "note")
    partition = TopicPartition(topic, 0)
    assert reader.consumer.rewind(partition) == Assigned(partition, 3, "note", 3)
    poll_until(lambda: len(reader.records) == 12, reader)
    assert reader.read(topic, 0) == [0, 1, 2, 3, 4, 3, 4]
    assert reader.read(topic, 1) == [0, 1, 2, 3, 4]


def test_a_partition_without_a_commit_is_rewound_to_the_start(
    create: Create, join: Join, write: Write
) -> None:
    topic = create(1)
    write(*numbered(topic, 2))
    reader = join(topic)
    poll_until(lambda: len(reader.records) == 2, reader)
    partition = TopicPartition(topic, 0)
    assert reader.consumer.rewind(partition) == Assigned(partition, 0, "")
    poll_until(lambda: reader.read(topic, 0) == [0, 1, 0, 1], reader)


def test_what_is_not_ours_is_not_rewound(create: Create, join: Join) -> None:
    topic = create(1)
    reader = join(topic)
    poll_until(lambda: reader.held, reader)
    assert reader.consumer.rewind(TopicPartition(topic, 1)) is None


# Groups.


def test_members_share_the_partitions(create: Create, join: Join, write: Write) -> None:
    topic = create(4)
    a, b = join(topic), join(topic)
    poll_until(lambda: len(a.held) == len(b.held) == 2, a, b)
    write(*(message for p in range(4) for message in numbered(topic, 10, p)))
    poll_until(lambda: len(a.records) + len(b.records) >= 40, a, b)
    poll_for(0.5, a, b)
    for member in (a, b):
        assert {(r.topic, r.partition) for r in member.records} == member.held
    assert [a.read(topic, p) + b.read(topic, p) for p in range(4)] == [list(range(10))] * 4


def test_a_partition_never_has_two_holders(create: Create, join: Join) -> None:
    topic = create(6)
    members = [join(topic)]
    poll_until(lambda: len(members[0].held) == 6, *members)
    members += [join(topic), join(topic)]

    def shared() -> bool:
        held = [partition for member in members for partition in member.held]
        assert len(held) == len(set(held))
        return all(len(member.held) == 2 for member in members)

    poll_until(shared, *members)


def test_members_get_the_topics_they_subscribed_to(create: Create, join: Join) -> None:
    one, other = create(2), create(2, "-other")
    a, b = join(one), join(one, other)
    wanted = {TopicPartition(topic, p) for topic in (one, other) for p in (0, 1)}
    poll_until(lambda: a.held | b.held == wanted and a.held, a, b)
    assert {partition.topic for partition in a.held} == {one}


def test_partitions_that_stay_are_not_revoked(create: Create, join: Join) -> None:
    topic = create(4)
    a = join(topic)
    poll_until(lambda: len(a.held) == 4, a)
    b = join(topic)
    poll_until(lambda: len(a.held) == len(b.held) == 2, a, b)
    revoked = [partition for what, moved in a.told if what == "revoked" for partition in moved]
    assert sorted(revoked) == sorted(b.held)


def test_a_member_that_gets_nothing_is_told_so(adapter: str, create: Create, join: Join) -> None:
    topic = create(1)
    a = join(topic)
    poll_until(lambda: a.held, a)
    b = join(topic)
    if adapter == "embedded":  # its protocol says nothing where there is nothing to give
        poll_for(3.0, a, b)
        assert b.told == []
    else:
        poll_until(lambda: ("assigned", []) in b.told, a, b)
    assert a.held == {(topic, 0)}


def test_the_new_holder_goes_on_from_what_was_committed_while_revoking(
    create: Create, join: Join, write: Write
) -> None:
    topic = create(2)
    write(*numbered(topic, 5), *numbered(topic, 5, partition=1))
    a = join(topic)
    a.when_revoked = lambda revoked: a.consumer.commit_now(
        [Commit(partition, 3, "while revoking") for partition in revoked], WITHIN
    )
    poll_until(lambda: len(a.records) == 10, a)
    b = join(topic)
    poll_until(lambda: len(b.records) == 2, a, b)
    assert [each[1:] for each in b.assignments] == [(3, "while revoking", 3)]
    assert [record.offset for record in b.records] == [3, 4]


def test_a_member_that_leaves_hands_over(create: Create, join: Join, write: Write) -> None:
    topic = create(2)
    write(*numbered(topic, 5), *numbered(topic, 5, partition=1))
    a, b = join(topic), join(topic)
    poll_until(lambda: len(a.held) == len(b.held) == 1, a, b)
    left = next(iter(a.held))
    assert a.commit_now(*left, 4).error is None
    a.leave()
    b.records.clear()
    poll_until(lambda: left in b.held and b.read(*left), b)
    assert b.assigned(*left).offset == 4
    assert b.read(*left) == [4]


def test_leaving_revokes_what_is_held(create: Create, join: Join) -> None:
    topic = create(2)
    reader = join(topic)
    poll_until(lambda: len(reader.held) == 2, reader)
    reader.leave()
    assert reader.told[-1][0] == "revoked"
    assert sorted(reader.told[-1][1]) == [(topic, 0), (topic, 1)]


def test_a_commit_while_leaving_is_kept(create: Create, join: Join, write: Write) -> None:
    topic = create(1)
    write(*numbered(topic, 5))
    a = join(topic)
    a.when_revoked = lambda _: a.commit_now(topic, 0, 2, "last words")
    poll_until(lambda: a.held, a)
    a.leave()
    b = join(topic)
    poll_until(lambda: b.held, b)
    assert b.assigned(topic, 0)[1:] == (2, "last words", 2)


def test_groups_do_not_know_of_each_other(
    broker: Broker, topic_name: str, create: Create, join: Join, write: Write
) -> None:
    topic = create(1)
    write(*numbered(topic, 3))
    one, other = join(topic), Member(broker, topic_name + "-other", topic)
    try:
        poll_until(lambda: one.held and other.held, one, other)
        assert one.commit_now(topic, 0, 3).error is None
        poll_until(lambda: len(one.records) == len(other.records) == 3, one, other)
    finally:
        other.leave()


def test_a_member_that_never_polled_leaves_in_silence(create: Create, join: Join) -> None:
    reader = join(create(1))
    reader.leave()
    assert reader.told == []
