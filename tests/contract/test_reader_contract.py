"""What readers do alike: in memory, embedded, and on a real Kafka."""

import random
import time
from collections.abc import Callable

import pytest

from streamjobs.broker.ports import Broker, Delivery, LogRange, Message, Reader, TopicPartition
from streamjobs.errors import TopicError
from streamjobs.record import Record
from tests.contract.messages import numbered
from tests.support.members import WITHIN, Member, poll_until

Create = Callable[..., str]
Join = Callable[..., Member]
Write = Callable[..., list[Delivery]]


def taken(reader: Reader, limit: int = 1000, timeout: float = 0.05) -> list[Record]:
    return [record for batch in reader.poll(limit, timeout) for record in batch.records]


def read(reader: Reader, count: int, limit: int = 1000) -> list[int]:
    """The offsets of the next `count` records."""
    offsets: list[int] = []
    deadline = time.monotonic() + WITHIN
    while (left := count - len(offsets)) and time.monotonic() < deadline:
        offsets += [record.offset for record in taken(reader, min(left, limit))]
    return offsets


def read_for(seconds: float, reader: Reader) -> list[int]:
    """The offsets of what comes within this time, to see that something does not come."""
    offsets: list[int] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        offsets += [record.offset for record in taken(reader)]
    return offsets


def read_to_end(reader: Reader, partition: TopicPartition) -> list[int]:
    """The offsets of what is left of this partition, the only one that is read."""
    offsets: list[int] = []
    deadline = time.monotonic() + WITHIN
    while not reader.at_end(partition):
        assert time.monotonic() < deadline
        offsets += [record.offset for record in taken(reader)]
    return offsets


# Where it reads.


def test_a_partition_is_read_in_order_from_where_it_was_told(
    create: Create, reader: Reader, write: Write
) -> None:
    topic = create(1)
    write(*numbered(topic, 1000))
    reader.seek(TopicPartition(topic, 0), 400)
    assert read(reader, 600) == list(range(400, 1000))


def test_nothing_is_read_unasked(create: Create, reader: Reader, write: Write) -> None:
    topic = create(2)
    write(*numbered(topic, 3), *numbered(topic, 3, partition=1))
    reader.seek(TopicPartition(topic, 1), 0)
    assert read(reader, 3) == [0, 1, 2]
    assert read_for(0.5, reader) == []


def test_records_are_what_was_written(create: Create, reader: Reader, write: Write) -> None:
    topic = create(2)
    write(Message(topic, b"v", b"k", [("a", b"1")], 1))
    partition = TopicPartition(topic, 1)
    reader.seek(partition, 0)
    [batch] = reader.poll(10, WITHIN)
    [record] = batch.records
    assert batch.partition == (record.topic, record.partition) == partition
    assert (record.offset, record.key, record.value) == (0, b"k", b"v")
    assert list(record.headers) == [("a", b"1")]


def test_several_partitions_are_read_each_in_its_order(
    create: Create, reader: Reader, write: Write
) -> None:
    topic = create(3)
    write(*(message for n in range(100) for message in numbered(topic, 1, n % 3, first=n)))
    came: dict[TopicPartition, list[int]] = {}
    for number in range(3):
        came[TopicPartition(topic, number)] = []
        reader.seek(TopicPartition(topic, number), 10 * number)
    deadline = time.monotonic() + WITHIN
    while sum(map(len, came.values())) < 70 and time.monotonic() < deadline:
        for partition, records in reader.poll(7, 0.05):
            assert {(r.topic, r.partition) for r in records} == {partition}
            came[partition] += [record.offset for record in records]
    assert list(came.values()) == [[*range(34)], [*range(10, 33)], [*range(20, 33)]]


def test_a_poll_takes_no_more_than_its_limit(create: Create, reader: Reader, write: Write) -> None:
    topic = create(2)
    write(*numbered(topic, 20), *numbered(topic, 20, partition=1))
    reader.seek(TopicPartition(topic, 0), 0)
    reader.seek(TopicPartition(topic, 1), 0)
    counts = [len(taken(reader, limit=3)) for _ in range(5)]
    counts.append(len(read(reader, 40 - sum(counts), limit=3)))
    assert max(counts[:-1]) <= 3
    assert sum(counts) == 40
    assert taken(reader, limit=0) == []


def test_an_empty_poll_waits_no_longer_than_its_timeout(create: Create, reader: Reader) -> None:
    begun = time.monotonic()
    assert reader.poll(10, 0.2) == []  # reads nothing at all
    reader.seek(TopicPartition(create(1), 0), 0)
    assert reader.poll(10, 0.2) == []
    assert time.monotonic() - begun < 2


def test_what_is_written_later_is_read(create: Create, reader: Reader, write: Write) -> None:
    topic = create(1)
    reader.seek(TopicPartition(topic, 0), 0)
    assert read_for(0.3, reader) == []
    write(*numbered(topic, 2))
    assert read(reader, 2) == [0, 1]


def test_after_a_seek_forwards_and_one_back_every_record_comes_from_there(
    create: Create, reader: Reader, write: Write
) -> None:
    topic = create(1)
    partition = TopicPartition(topic, 0)
    write(*numbered(topic, 1000))
    reader.seek(partition, 600)
    assert read(reader, 10) == list(range(600, 610))  # more are fetched already
    reader.seek(partition, 100)
    assert read(reader, 900) == list(range(100, 1000))


def test_wherever_it_is_sent_it_goes_on_from_there_without_a_gap(
    create: Create, reader: Reader, write: Write
) -> None:
    topic = create(2)
    write(*numbered(topic, 2000), *numbered(topic, 2000, partition=1))
    dice = random.Random(7)
    expected: dict[TopicPartition, int] = {}
    for _ in range(200):
        partition = TopicPartition(topic, dice.randrange(2))
        near = expected.get(partition, 0) + dice.randrange(-20, 20)
        expected[partition] = dice.choice([dice.randrange(2000), max(0, min(near, 1999))])
        reader.seek(partition, expected[partition])
        for _ in range(dice.randrange(3)):
            limit, timeout = dice.choice([1, 10, 500]), dice.choice([0, 0.01, 0.1])
            for place, records in reader.poll(limit, timeout):
                first = expected[place]
                expected[place] = first + len(records)
                assert [r.offset for r in records] == list(range(first, expected[place]))


def test_a_seek_to_where_it_is_repeats_and_skips_nothing(
    create: Create, reader: Reader, write: Write
) -> None:
    topic = create(1)
    partition = TopicPartition(topic, 0)
    write(*numbered(topic, 100))
    reader.seek(partition, 0)
    offsets = read(reader, 10)
    reader.seek(partition, 10)
    assert offsets + read(reader, 90) == list(range(100))


def test_behind_the_end_it_waits_for_the_offset(
    create: Create, reader: Reader, write: Write
) -> None:
    topic = create(1)
    partition = TopicPartition(topic, 0)
    write(*numbered(topic, 5))
    reader.seek(partition, 8)
    assert read_to_end(reader, partition) == []
    write(*numbered(topic, 5))
    assert read(reader, 2) == [8, 9]


def test_a_partition_that_does_not_exist_brings_nothing(
    broker: Broker, topic_name: str, create: Create, reader: Reader, write: Write
) -> None:
    topic = create(1, "-other")
    write(*numbered(topic, 3))
    reader.seek(TopicPartition(topic_name, 0), 0)
    reader.seek(TopicPartition(topic, 1), 0)
    reader.seek(TopicPartition(topic, 0), 0)
    assert read(reader, 3) == [0, 1, 2]
    assert read_for(0.5, reader) == []
    assert not reader.at_end(TopicPartition(topic_name, 0))
    assert not reader.at_end(TopicPartition(topic, 1))
    assert topic_name not in broker.topics(WITHIN)


# Stopping.


def test_after_a_stop_not_even_what_was_fetched_comes(
    create: Create, reader: Reader, write: Write
) -> None:
    topic = create(2)
    stopped, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    write(*numbered(topic, 100))
    reader.seek(stopped, 0)
    reader.seek(other, 0)
    assert read(reader, 1) == [0]
    reader.stop(stopped)
    assert read_for(0.5, reader) == []
    write(*numbered(topic, 2), *numbered(topic, 2, partition=1))
    assert read(reader, 2) == [0, 1]
    assert read_for(0.3, reader) == []


def test_what_was_stopped_is_read_again_after_a_seek(
    create: Create, reader: Reader, write: Write
) -> None:
    topic = create(1)
    partition = TopicPartition(topic, 0)
    write(*numbered(topic, 10))
    reader.seek(partition, 0)
    assert read(reader, 3) == [0, 1, 2]
    reader.stop(partition)
    reader.stop(partition)
    reader.seek(partition, 1)
    assert read(reader, 9) == list(range(1, 10))


def test_to_stop_what_is_not_read_changes_nothing(create: Create, reader: Reader) -> None:
    reader.stop(TopicPartition(create(1), 0))
    assert reader.poll(10, 0) == []


def test_closing_twice_or_unused_is_fine(broker: Broker, create: Create) -> None:
    used, unused = broker.reader({}), broker.reader({})
    used.seek(TopicPartition(create(1), 0), 0)
    for reader in (used, used, unused, unused):
        reader.close()


def test_a_closed_reader_reads_no_more(create: Create, reader: Reader) -> None:
    reader.seek(TopicPartition(create(1), 0), 0)
    reader.close()
    with pytest.raises(RuntimeError, match="closed"):
        reader.poll(10, 0)


# Ends.


def test_the_end_is_found_when_everything_has_come_out(
    create: Create, reader: Reader, write: Write
) -> None:
    topic = create(1)
    partition = TopicPartition(topic, 0)
    write(*numbered(topic, 50))
    reader.seek(partition, 20)
    assert not reader.at_end(partition)
    assert read_to_end(reader, partition) == list(range(20, 50))


def test_an_empty_partition_has_an_end(create: Create, reader: Reader) -> None:
    partition = TopicPartition(create(1), 0)
    reader.seek(partition, 0)
    assert read_to_end(reader, partition) == []


def test_a_record_that_comes_out_after_the_end_was_found_moves_the_end(
    create: Create, reader: Reader, write: Write
) -> None:
    topic = create(1)
    partition = TopicPartition(topic, 0)
    write(*numbered(topic, 1))
    reader.seek(partition, 0)
    read_to_end(reader, partition)
    write(*numbered(topic, 3))
    assert read(reader, 1) == [1]
    assert not reader.at_end(partition)
    assert read_to_end(reader, partition) == [2, 3]


@pytest.mark.parametrize("offset", [0, 2, 3])
def test_the_end_is_unknown_after_a_seek(
    offset: int, create: Create, reader: Reader, write: Write
) -> None:
    topic = create(1)
    partition = TopicPartition(topic, 0)
    write(*numbered(topic, 3))
    reader.seek(partition, 0)
    read_to_end(reader, partition)
    reader.seek(partition, offset)
    assert not reader.at_end(partition)
    assert read_to_end(reader, partition) == list(range(offset, 3))


def test_what_is_not_read_is_not_at_its_end(create: Create, reader: Reader) -> None:
    partition = TopicPartition(create(1), 0)
    assert not reader.at_end(partition)
    reader.seek(partition, 0)
    read_to_end(reader, partition)
    reader.stop(partition)
    assert not reader.at_end(partition)


# What there is.


def test_a_range_is_from_the_first_record_to_after_the_last(
    create: Create, reader: Reader, write: Write
) -> None:
    topic = create(2)
    write(*numbered(topic, 7))
    assert reader.range(TopicPartition(topic, 0), WITHIN) == LogRange(start=0, end=7)
    assert reader.range(TopicPartition(topic, 1), WITHIN) == LogRange(start=0, end=0)


def test_asking_takes_a_moment_while_other_partitions_are_read(
    create: Create, reader: Reader
) -> None:
    topic = create(2)
    reader.seek(TopicPartition(topic, 0), 0)
    read_to_end(reader, TopicPartition(topic, 0))  # by now, a fetch waits for news of it
    begun = time.monotonic()
    for _ in range(5):
        reader.range(TopicPartition(topic, 1), WITHIN)
    assert time.monotonic() - begun < 1.5


def test_a_partition_that_does_not_exist_has_no_range(
    broker: Broker, topic_name: str, create: Create, reader: Reader
) -> None:
    with pytest.raises(TopicError, match=r"no partition 0 of topic .* create it first"):
        reader.range(TopicPartition(topic_name, 0), WITHIN)
    assert topic_name not in broker.topics(WITHIN)
    with pytest.raises(TopicError, match="no partition 1"):
        reader.range(TopicPartition(create(1), 1), WITHIN)


def test_what_was_missing_has_a_range_as_soon_as_it_is_created(
    topic_name: str, create: Create, reader: Reader
) -> None:
    partition = TopicPartition(topic_name, 0)
    with pytest.raises(TopicError):
        reader.range(partition, WITHIN)
    create(1)
    assert reader.range(partition, WITHIN) == LogRange(0, 0)


# Deleting records.


def test_deleted_records_are_gone_and_reading_starts_after_them(
    adapter: str, broker: Broker, create: Create, reader: Reader, write: Write
) -> None:
    topic = create(2)
    partition, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    write(*numbered(topic, 10), *numbered(topic, 10, partition=1))
    if adapter == "embedded":
        with pytest.raises(TopicError, match="mock cluster deletes no records"):
            broker.delete_records({partition: 6}, WITHIN)
        return
    broker.delete_records({partition: 6, other: 10}, WITHIN)
    assert reader.range(partition, WITHIN) == LogRange(6, 10)
    assert reader.range(other, WITHIN) == LogRange(10, 10)
    reader.seek(partition, 2)
    reader.seek(other, 2)
    assert read(reader, 4) == [6, 7, 8, 9]
    broker.delete_records({partition: 3}, WITHIN)  # they are gone already
    assert reader.range(partition, WITHIN) == LogRange(6, 10)


def test_more_than_there_is_cannot_be_deleted(
    broker: Broker, create: Create, reader: Reader, write: Write
) -> None:
    partition = TopicPartition(create(1), 0)
    write(*numbered(partition.topic, 3))
    with pytest.raises(TopicError):
        broker.delete_records({partition: 4}, WITHIN)
    assert reader.range(partition, WITHIN) == LogRange(0, 3)


def test_nothing_is_deleted_of_a_partition_that_does_not_exist(
    broker: Broker, topic_name: str
) -> None:
    with pytest.raises(TopicError, match="no partition 0 of topic"):
        broker.delete_records({TopicPartition(topic_name, 0): 1}, WITHIN)
    assert topic_name not in broker.topics(WITHIN)


def test_to_delete_nothing_is_fine(broker: Broker) -> None:
    broker.delete_records({}, WITHIN)


# Groups.


def test_a_reader_and_a_group_do_not_know_of_each_other(
    create: Create, join: Join, reader: Reader, write: Write
) -> None:
    topic = create(1)
    write(*numbered(topic, 5))
    member = join(topic)
    poll_until(lambda: member.held, member)
    member.commit_now(topic, 0, 3)
    reader.seek(TopicPartition(topic, 0), 0)
    assert read(reader, 5) == [0, 1, 2, 3, 4]
    poll_until(lambda: len(member.records) == 5, member)
    assert [what for what, _ in member.told] == ["assigned"]
