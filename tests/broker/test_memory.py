"""The Kafka in memory: its logs, its groups, and what can be made to go wrong."""

import random
import threading
from collections.abc import Sequence

import pytest

from streamjobs.broker.memory import Faults, MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Batch, Commit, Delivery, Message, TopicPartition, TopicSpec
from streamjobs.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    DeliveryError,
    TopicError,
)
from tests.support.members import Member

P0, P1, P2, P3 = (TopicPartition("in", number) for number in range(4))
ONE = TopicPartition("one", 0)


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster({"in": 4, "one": 1}, blocking=False, clock=lambda: 12.5)


def fill(cluster: MemoryCluster, topic: str, partition: int, count: int) -> None:
    for number in range(count):
        cluster.append(Message(topic, b"%d" % number, partition=partition))


def member(cluster: MemoryCluster, name: str, *topics: str, faults: Faults | None = None) -> Member:
    return Member(MemoryBroker(cluster, name, faults), "group", *topics or ("in",))


def settle(*members: Member, polls: int = 6) -> None:
    for _ in range(polls):
        for each in members:
            each.poll(limit=0)


def offsets(batches: Sequence[Batch]) -> list[int]:
    return [record.offset for batch in batches for record in batch.records]


def holders(*members: Member) -> list[list[int]]:
    return [sorted(partition.partition for partition in each.held) for each in members]


# Logs.


def test_messages_without_a_key_go_round(cluster: MemoryCluster) -> None:
    assert [cluster.append(Message("in", b"")).partition for _ in range(5)] == [0, 1, 2, 3, 0]


def test_records_carry_the_time_of_the_clusters_clock(cluster: MemoryCluster) -> None:
    assert cluster.append(Message("in", b"")).timestamp == 12_500


def test_a_partition_that_does_not_exist_is_refused(cluster: MemoryCluster) -> None:
    with pytest.raises(DeliveryError, match="create it first"):
        cluster.append(Message("in", b"", partition=4))


def test_a_topic_without_partitions_is_refused(cluster: MemoryCluster) -> None:
    with pytest.raises(TopicError, match="at least 1"):
        cluster.create("empty", 0)


def test_skipped_offsets_hold_no_record(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 2)
    cluster.skip("one", 0, 3)
    fill(cluster, "one", 0, 1)
    reader = member(cluster, "a", "one")
    reader.poll()
    assert reader.read("one", 0) == [0, 1, 5]


def test_a_gap_at_the_end_does_not_hide_the_end(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 1)
    cluster.skip("one", 0, 3)
    reader = Member(MemoryBroker(cluster), "group", "one", report_ends=True)
    reader.poll()
    reader.poll()
    assert reader.ends == [("one", 0)]


def test_compaction_removes_one_record(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 4)
    cluster.delete("one", 0, 1)
    cluster.delete("one", 0, 3)
    reader = member(cluster, "a", "one")
    reader.poll(limit=1)
    reader.poll()
    assert reader.read("one", 0) == [0, 2]
    assert cluster.append(Message("one", b"")).offset == 4


def test_compaction_of_what_is_not_there_is_a_mistake(cluster: MemoryCluster) -> None:
    with pytest.raises(KeyError):
        cluster.delete("one", 0, 0)


def test_a_new_group_starts_where_a_truncated_log_does(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 4)
    cluster.truncate("one", 0, before=2)
    reader = member(cluster, "a", "one")
    reader.poll()
    assert reader.assigned("one", 0).offset == 2
    assert reader.read("one", 0) == [2, 3]


def test_a_commit_that_retention_overtook_is_read_from_the_start(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 4)
    first = member(cluster, "a", "one")
    settle(first)
    first.commit_now("one", 0, 1, "note")
    cluster.bounce("a", "one", 0)
    cluster.truncate("one", 0, before=3)
    settle(first)
    assert first.assigned("one", 0)[1:] == (3, "note", 1)


def test_a_reader_overtaken_by_retention_goes_on_at_the_start(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 6)
    reader = member(cluster, "a", "one")
    reader.poll(limit=1)
    cluster.truncate("one", 0, before=4)
    reader.poll()
    assert reader.read("one", 0) == [0, 4, 5]


def test_a_small_limit_starves_no_partition(cluster: MemoryCluster) -> None:
    for partition in range(4):
        fill(cluster, "in", partition, 10)
    reader = member(cluster, "a")
    for _ in range(8):
        reader.poll(limit=1)
    assert [reader.read("in", partition) for partition in range(4)] == [[0, 1]] * 4


# Readers.


def test_a_reader_steps_over_gaps_to_the_end(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 4)
    cluster.delete("one", 0, 2)
    cluster.skip("one", 0, 3)
    reader = MemoryBroker(cluster).reader({})
    reader.seek(ONE, 1)
    assert offsets(reader.poll(1, 0)) == [1]
    assert not reader.at_end(ONE)
    assert offsets(reader.poll(10, 0)) == [3]
    assert reader.at_end(ONE)
    assert reader.range(ONE, 0) == (0, 7)


def test_a_reader_overtaken_by_retention_goes_on_at_the_start_of_the_log(
    cluster: MemoryCluster,
) -> None:
    fill(cluster, "one", 0, 10)
    reader = MemoryBroker(cluster).reader({})
    reader.seek(ONE, 0)
    reader.poll(2, 0)
    cluster.truncate("one", 0, 6)
    assert offsets(reader.poll(10, 0)) == [6, 7, 8, 9]


def test_a_small_limit_starves_no_partition_of_a_reader(cluster: MemoryCluster) -> None:
    fill(cluster, "in", 0, 10)
    fill(cluster, "in", 1, 10)
    reader = MemoryBroker(cluster).reader({})
    for partition in (P0, P1):
        reader.seek(partition, 0)
    assert [reader.poll(3, 0)[0].partition for _ in range(4)] == [P0, P1, P0, P1]


def test_settings_of_topics_are_ignored(cluster: MemoryCluster) -> None:
    broker = MemoryBroker(cluster)
    broker.create_topics([TopicSpec("set", 2, config={"cleanup.policy": "compact"})], 0)
    assert broker.topics(0)["set"] == 2


# Groups.


def test_the_first_poll_joins_and_reads(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 2)
    assert len(member(cluster, "a", "one").poll()) == 2


def test_nobody_joins_before_polling(cluster: MemoryCluster) -> None:
    member(cluster, "a")
    assert cluster.members("group") == {}


def test_a_moving_partition_is_free_only_after_its_holder_gave_it_up(
    cluster: MemoryCluster,
) -> None:
    a, b = member(cluster, "a"), member(cluster, "b")
    settle(a)
    settle(b)
    assert holders(a, b) == [[0, 1, 2, 3], []]
    a.poll()
    assert holders(a, b) == [[0, 1], []]
    b.poll()
    assert holders(a, b) == [[0, 1], [2, 3]]


def test_who_gets_nothing_new_is_told_so(cluster: MemoryCluster) -> None:
    a, b = member(cluster, "a"), member(cluster, "b")
    settle(a, b)
    assert a.told == [("assigned", [P0, P1, P2, P3]), ("revoked", [P2, P3]), ("assigned", [])]
    assert b.told == [("assigned", []), ("assigned", [P2, P3])]


def test_what_a_member_that_leaves_held_is_shared_out(cluster: MemoryCluster) -> None:
    members = [member(cluster, name) for name in "abc"]
    settle(*members)
    assert holders(*members) == [[0, 1], [3], [2]]
    members[0].consumer.close()
    settle(*members[1:])
    assert holders(*members) == [[], [0, 3], [1, 2]]


def test_more_members_than_partitions_leave_one_idle(cluster: MemoryCluster) -> None:
    a, b = member(cluster, "a", "one"), member(cluster, "b", "one")
    settle(a, b)
    assert holders(a, b) == [[0], []]


def test_members_get_only_topics_they_subscribed_to(cluster: MemoryCluster) -> None:
    a, b = member(cluster, "a", "in"), member(cluster, "b", "in", "one")
    settle(a, b)
    assert ("one", 0) in b.held
    assert holders(a, b) == [[0, 1, 2], [0, 3]]


def test_a_topic_created_later_is_assigned(cluster: MemoryCluster) -> None:
    a = member(cluster, "a", "late")
    settle(a)
    cluster.create("late", 1)
    settle(a)
    assert a.held == {("late", 0)}


def test_the_same_instance_fences_its_predecessor(cluster: MemoryCluster) -> None:
    old = Member(MemoryBroker(cluster, "old"), "group", "one", instance="i")
    settle(old)
    new = Member(MemoryBroker(cluster, "new"), "group", "one", instance="i")
    settle(new)
    assert new.held == {("one", 0)}
    assert old.commit_now("one", 0, 1).error is not None


def test_a_commit_of_a_partition_held_by_another_is_refused(cluster: MemoryCluster) -> None:
    a, b = member(cluster, "a"), member(cluster, "b")
    settle(a, b)
    error = a.commit_now("in", 3, 5).error
    assert error is not None
    assert "ILLEGAL_GENERATION" in error
    assert cluster.committed("group", "in", 3) is None


def test_a_commit_while_revoking_is_taken(cluster: MemoryCluster) -> None:
    a, b = member(cluster, "a"), member(cluster, "b")
    a.when_revoked = lambda lost: a.consumer.commit_now([Commit(p, 7, "m") for p in lost], 1)
    settle(a, b)
    assert (b.assigned("in", 2).offset, b.assigned("in", 2).metadata) == (7, "m")


def test_a_process_name_is_given_once(cluster: MemoryCluster) -> None:
    MemoryBroker(cluster, "a")
    with pytest.raises(ConfigurationError, match="another name"):
        MemoryBroker(cluster, "a")


def test_the_same_steps_give_the_same_history() -> None:
    def history() -> list[list[tuple[str, list[TopicPartition]]]]:
        cluster = MemoryCluster({"in": 7, "other": 3}, blocking=False)
        members = [member(cluster, name, "in", "other") for name in "abc"]
        settle(*members)
        cluster.rebalance("group", 2)
        settle(*members)
        cluster.expire("b")
        settle(*members)
        return [each.told for each in members]

    assert history() == history()


@pytest.mark.parametrize("seed", range(50))
def test_whatever_happens_each_partition_has_one_holder_and_shares_are_equal(seed: int) -> None:
    dice = random.Random(seed)
    cluster = MemoryCluster({"in": 7}, blocking=False)
    members = [member(cluster, name) for name in "abcd"]
    for _ in range(60):
        joined = cluster.members("group")
        fault = dice.randrange(6)
        if fault == 0:
            cluster.rebalance("group", dice.randrange(7))
        elif fault == 1 and joined:
            cluster.expire(dice.choice(sorted(joined)))
        elif fault == 2 and any(joined.values()):
            name = dice.choice(sorted(name for name, held in joined.items() if held))
            cluster.bounce(name, *dice.choice(joined[name]))
        dice.choice(members).poll(limit=0)
        held = [partition for each in cluster.members("group").values() for partition in each]
        assert len(held) == len(set(held))
    settle(*members, polls=12)
    assert sorted(map(len, holders(*members))) == [1, 2, 2, 2]
    known = {name: set(held) for name, held in cluster.members("group").items()}
    assert known == {name: each.held for name, each in zip("abcd", members, strict=True)}


# Forced rebalances.


def test_an_expired_member_is_told_after_others_have_its_partitions(
    cluster: MemoryCluster,
) -> None:
    a, b = member(cluster, "a"), member(cluster, "b")
    settle(a, b)
    cluster.expire("a")
    settle(b)
    assert holders(a, b) == [[0, 1], [0, 1, 2, 3]]
    a.poll()
    assert a.told[-1] == ("lost", [P0, P1])


def test_an_expired_member_cannot_commit(cluster: MemoryCluster) -> None:
    a = member(cluster, "a")
    settle(a)
    cluster.expire("a")
    error = a.commit_now("in", 0, 1).error
    assert error is not None
    assert "UNKNOWN_MEMBER_ID" in error


def test_an_expired_member_joins_again(cluster: MemoryCluster) -> None:
    a, b = member(cluster, "a"), member(cluster, "b")
    settle(a, b)
    cluster.expire("a")
    settle(b)
    settle(a, b)
    assert [len(partitions) for partitions in holders(a, b)] == [2, 2]


def test_an_expired_member_that_closes_is_told_that_it_lost(cluster: MemoryCluster) -> None:
    a = member(cluster, "a", "one")
    settle(a)
    cluster.expire("a")
    a.consumer.close()
    assert a.told[-1] == ("lost", [("one", 0)])


def test_expiring_who_is_not_there_is_a_mistake(cluster: MemoryCluster) -> None:
    with pytest.raises(KeyError, match="nobody"):
        cluster.expire("nobody")


def test_a_bounced_partition_comes_back_to_the_same_member(cluster: MemoryCluster) -> None:
    a, b = member(cluster, "a"), member(cluster, "b")
    settle(a, b)
    a.told.clear()
    cluster.bounce("a", "in", 1)
    settle(a, b)
    assert a.told == [("revoked", [P1]), ("assigned", [P1])]
    assert holders(a, b) == [[0, 1], [2, 3]]


def test_a_bounced_partition_is_read_again_from_what_is_committed(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 4)
    a = member(cluster, "a", "one")
    a.poll()
    a.commit("one", 0, 2)
    cluster.bounce("a", "one", 0)
    settle(a)
    a.poll()
    assert a.read("one", 0) == [0, 1, 2, 3, 2, 3]


def test_bouncing_what_is_not_held_is_a_mistake(cluster: MemoryCluster) -> None:
    a, b = member(cluster, "a"), member(cluster, "b")
    settle(a, b)
    with pytest.raises(KeyError, match="does not hold"):
        cluster.bounce("a", "in", 3)


def test_a_forced_rebalance_moves_partitions_in_two_steps(cluster: MemoryCluster) -> None:
    a, b = member(cluster, "a"), member(cluster, "b")
    settle(a, b)
    cluster.rebalance("group")
    a.poll()
    assert holders(a, b) == [[0], [2, 3]]
    settle(a, b)
    assert holders(a, b) == [[0, 3], [1, 2]]


def test_a_killed_process_reaches_nothing(cluster: MemoryCluster) -> None:
    broker = MemoryBroker(cluster, "a")
    producer = broker.producer({})
    a = Member(broker, "group", "one")
    settle(a)
    cluster.kill("a")
    producer.send(Message("one", b""))
    assert cluster.log("one", 0).end == 0
    assert producer.flush(0) == 1
    assert a.poll() == []
    assert a.commit_now("one", 0, 1).error is not None
    assert cluster.committed("group", "one", 0) is None


def test_a_killed_process_leaves_without_a_word(cluster: MemoryCluster) -> None:
    a = member(cluster, "a", "one")
    settle(a)
    cluster.kill("a")
    a.told.clear()
    a.consumer.close()
    assert a.told == []
    assert cluster.members("group") == {"a": [("one", 0)]}


def test_partitions_of_a_killed_process_move_when_it_expires(cluster: MemoryCluster) -> None:
    a, b = member(cluster, "a"), member(cluster, "b")
    settle(a, b)
    cluster.kill("a")
    settle(b)
    assert holders(b) == [[2, 3]]
    cluster.expire("a")
    settle(b)
    assert holders(b) == [[0, 1, 2, 3]]


# Faults of requests.


def test_a_refused_commit_is_not_applied(cluster: MemoryCluster) -> None:
    a = member(cluster, "a", "one")
    settle(a)
    cluster.faults.commits_refused = 1
    assert a.commit_now("one", 0, 1).error is not None
    assert cluster.committed("group", "one", 0) is None
    assert a.commit_now("one", 0, 1).error is None


def test_an_unanswered_commit_is_applied_and_looks_failed(cluster: MemoryCluster) -> None:
    a = member(cluster, "a", "one")
    settle(a)
    cluster.faults.commits_unanswered = 1
    a.commit("one", 0, 1, "m")
    settle(a)
    assert a.commits[0].error is not None
    assert cluster.committed("group", "one", 0) == (1, "m")


def test_a_refused_message_is_not_written(cluster: MemoryCluster) -> None:
    cluster.faults.sends_refused = 1
    assert deliveries(cluster, 2) == [Delivery("one", 0, -1, error="any"), Delivery("one", 0, 0)]
    assert cluster.log("one", 0).end == 1


def test_an_unanswered_message_is_written_and_looks_failed(cluster: MemoryCluster) -> None:
    cluster.faults.sends_unanswered = 1
    assert deliveries(cluster, 1) == [Delivery("one", 0, 0, error="any")]
    assert cluster.log("one", 0).end == 1


def deliveries(cluster: MemoryCluster, count: int) -> list[Delivery]:
    producer, told = MemoryBroker(cluster).producer({}), list[Delivery]()
    for _ in range(count):
        producer.send(Message("one", b"", partition=0), told.append)
    producer.flush(0)
    return [each._replace(error=each.error and "any") for each in told]


def test_deliveries_are_told_in_poll_and_not_before(cluster: MemoryCluster) -> None:
    producer, told = MemoryBroker(cluster).producer({}), list[Delivery]()
    producer.send(Message("one", b""), told.append)
    assert told == []
    producer.poll(0)
    assert told == [Delivery("one", 0, 0)]


def test_held_answers_come_later(cluster: MemoryCluster) -> None:
    broker = MemoryBroker(cluster)
    a, producer, told = Member(broker, "group", "one"), broker.producer({}), list[Delivery]()
    settle(a)
    cluster.faults.answers_held = True
    producer.send(Message("one", b""), told.append)
    a.commit("one", 0, 1)
    settle(a)
    assert producer.flush(0) == 1
    assert (told, a.commits) == ([], [])
    cluster.faults.answers_held = False
    settle(a)
    assert producer.flush(0) == 0
    assert (len(told), len(a.commits)) == (1, 1)


def test_records_are_repeated_in_order(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 5)
    a = member(cluster, "a", "one")
    a.poll(limit=3)
    cluster.faults.records_repeated = 2
    a.poll()
    assert a.read("one", 0) == [0, 1, 2, 1, 2, 3, 4]


def test_what_was_read_before_the_assignment_is_not_repeated(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 5)
    a, b = member(cluster, "a", "one"), member(cluster, "b", "one")
    a.poll()
    a.commit("one", 0, 3)
    a.consumer.close()
    b.poll()
    cluster.faults.records_repeated = 100
    b.poll()
    assert b.read("one", 0) == [3, 4, 3, 4]


def test_a_broker_that_is_away_answers_nothing(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 1)
    broker = MemoryBroker(cluster, "a", Faults(away=True))
    a = Member(broker, "group", "one")
    assert a.poll() == []
    assert cluster.members("group") == {}
    with pytest.raises(BrokerUnavailableError):
        broker.topics(1)


def test_a_broker_that_comes_back_goes_on(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 2)
    a = member(cluster, "a", "one")
    a.poll(limit=1)
    cluster.faults.away = True
    assert a.commit_now("one", 0, 1).error is not None
    assert a.poll() == []
    cluster.faults.away = False
    assert a.commit_now("one", 0, 1).error is None
    a.poll()
    assert a.read("one", 0) == [0, 1]


@pytest.mark.parametrize("gone", ["away", "killed"])
def test_a_reader_of_a_process_that_reaches_nothing_hears_nothing(
    gone: str, cluster: MemoryCluster
) -> None:
    fill(cluster, "one", 0, 3)
    broker = MemoryBroker(cluster, "a")
    reader = broker.reader({})
    reader.seek(ONE, 0)
    if gone == "away":
        cluster.faults.away = True
    else:
        cluster.kill("a")
    assert reader.poll(10, 0) == []
    assert not reader.at_end(ONE)
    for question in (
        lambda: reader.range(ONE, 1),
        lambda: broker.delete_records({ONE: 1}, 1),
    ):
        with pytest.raises(BrokerUnavailableError, match="by an injected fault"):
            question()
    assert cluster.log(*ONE).start == 0


def test_a_reader_goes_on_when_the_broker_is_back(cluster: MemoryCluster) -> None:
    fill(cluster, "one", 0, 3)
    reader = MemoryBroker(cluster).reader({})
    reader.seek(ONE, 1)
    cluster.faults.away = True
    assert reader.poll(10, 0) == []
    cluster.faults.away = False
    assert offsets(reader.poll(10, 0)) == [1, 2]


def test_faults_of_one_process_leave_the_others_alone(cluster: MemoryCluster) -> None:
    a, b = member(cluster, "a", faults=Faults()), member(cluster, "b", faults=Faults(away=True))
    settle(a, b)
    assert holders(a, b) == [[0, 1, 2, 3], []]


# Threads.


def test_an_empty_poll_is_woken_by_a_record() -> None:
    cluster = MemoryCluster({"one": 1})
    a = member(cluster, "a", "one")
    a.poll(timeout=0)
    writer = threading.Timer(0.05, cluster.append, [Message("one", b"news")])
    writer.start()
    assert [record.value for record in a.poll(timeout=30)] == [b"news"]
    writer.join()


def test_an_empty_poll_of_a_reader_is_woken_by_a_record() -> None:
    cluster = MemoryCluster({"one": 1})
    reader = MemoryBroker(cluster).reader({})
    reader.seek(ONE, 0)
    writer = threading.Timer(0.1, fill, (cluster, "one", 0, 1))
    writer.start()
    assert offsets(reader.poll(10, 20)) == [0]
    writer.join()


def test_every_record_of_many_threads_is_read_once() -> None:
    cluster = MemoryCluster({"in": 4})
    broker = MemoryBroker(cluster)
    producer = broker.producer({})
    told: list[Delivery] = []

    def write(keys: Sequence[int]) -> None:
        for key in keys:
            producer.send(Message("in", b"", key=b"%d" % key), told.append)
            producer.poll(0)

    members = [Member(broker, "group", "in") for _ in range(2)]
    done = threading.Event()

    def read(each: Member) -> None:
        each.when_revoked = lambda revoked: each.consumer.commit_now(
            [Commit(p, max(each.read(*p), default=-1) + 1, "") for p in revoked], 1
        )
        while not done.is_set():
            each.poll(limit=10, timeout=0.01)

    readers = [threading.Thread(target=read, args=(each,)) for each in members]
    writers = [threading.Thread(target=write, args=(range(n, 800, 4),)) for n in range(4)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    producer.flush(1)
    written = sorted((d.partition, d.offset) for d in told)
    deadline = threading.Event()
    while sum(len(each.records) for each in members) < 800 and not deadline.wait(0.01):
        pass
    done.set()
    for thread in readers:
        thread.join()
    assert sorted((r.partition, r.offset) for m in members for r in m.records) == written
