"""What is particular to Kafka behind the ports; what all brokers share is in tests/contract."""

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as Offset
from confluent_kafka.admin import AdminClient, ConfigResource

from streamjobs.broker.ports import (
    Assigned,
    Commit,
    ConsumerOptions,
    Delivery,
    Message,
    TopicPartition,
    TopicSpec,
)
from streamjobs.broker.quix import consumer
from streamjobs.broker.quix.broker import QuixBroker
from streamjobs.broker.quix.client import check_version
from streamjobs.broker.quix.group_client import GroupClient
from streamjobs.broker.quix.record import KafkaRecord
from streamjobs.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    DeliveryError,
    SettingError,
    TopicError,
)
from tests.support.members import WITHIN, Member, poll_until

CJK = "".join(chr(0x4E00 + number) for number in range(4096))


@pytest.fixture
def broker(kafka: str) -> QuixBroker:
    return QuixBroker(kafka)


@pytest.fixture
def topic(broker: QuixBroker, topic_name: str) -> str:
    broker.create_topics([TopicSpec(topic_name, 4)], WITHIN)
    return topic_name


@pytest.fixture
def join(broker: QuixBroker, topic: str) -> Iterator[Callable[..., Member]]:
    members: list[Member] = []

    def join(**options: object) -> Member:
        members.append(Member(broker, topic, topic, **options))
        return members[-1]

    yield join
    for member in members:
        member.leave()


def write(broker: QuixBroker, *messages: Message) -> None:
    producer = broker.producer({})
    for message in messages:
        producer.send(message)
    assert producer.flush(WITHIN) == 0


def numbered(topic: str, count: int, partitions: int = 4, size: int = 1) -> list[Message]:
    return [Message(topic, b"v" * size, partition=n % partitions) for n in range(count)]


# Importing.


@pytest.mark.parametrize("found", [None, "3.27.9", "3.29.0", "4.28.0"])
def test_another_quixstreams_is_refused_with_what_to_install(found: str | None) -> None:
    with pytest.raises(ConfigurationError, match=r"pip install 'quixstreams>=3.28,<3.29'"):
        check_version(found)


def test_this_quixstreams_is_accepted() -> None:
    check_version("3.28.1")


def test_importing_prints_nothing_and_changes_no_filter() -> None:
    code = (
        "import warnings; before = list(warnings.filters); import streamjobs.broker.quix.broker; "
        "print([f for f in warnings.filters if f[0] == 'ignore' and f not in before])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


# Settings.


@pytest.mark.parametrize("name", ["sasl_username", "sasl.username"])
def test_connection_settings_may_be_dotted_or_underscored(name: str) -> None:
    QuixBroker("127.0.0.1:1", {name: "ada", "security.protocol": "SASL_SSL"})


def test_an_unknown_connection_setting_is_named_with_the_nearest_one() -> None:
    with pytest.raises(SettingError, match=r"sasl_pasword: .*did you mean sasl_password"):
        QuixBroker("127.0.0.1:1", {"sasl.pasword": "hunter2"})


@pytest.mark.parametrize("setting", [{"sasl_mechanism": "hunter2"}, {"sasl_password": ["hunter2"]}])
def test_a_bad_connection_setting_is_named_and_its_value_is_not(setting: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=f"connection: {next(iter(setting))}: ") as caught:
        QuixBroker("127.0.0.1:1", setting)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_connection_the_client_refuses_is_a_setting_error() -> None:
    broker = QuixBroker("127.0.0.1:1", {"security_protocol": "ssl", "ssl_ca_location": "/no/such"})
    with pytest.raises(SettingError, match=r"connection: .*ssl.ca.location"):
        broker.topics(1)


@pytest.mark.parametrize(
    "name",
    ["enable.auto.commit", "group.id", "group.instance.id", "partition.assignment.strategy"],
)
def test_consumer_settings_that_would_break_promises_are_refused(name: str) -> None:
    with pytest.raises(SettingError, match=f"consumer_config: {name} cannot be set here: "):
        Member(QuixBroker("127.0.0.1:1"), "group", "topic", extra={name: "x"})


@pytest.mark.parametrize("name", ["acks", "enable.idempotence", "partitioner", "transactional.id"])
def test_producer_settings_that_would_break_promises_are_refused(name: str) -> None:
    with pytest.raises(SettingError, match=f"producer_config: {name} cannot be set here: "):
        QuixBroker("127.0.0.1:1").producer({name: "x"})


def test_settings_the_client_does_not_know_are_setting_errors() -> None:
    broker = QuixBroker("127.0.0.1:1")
    with pytest.raises(SettingError, match=r"producer_config: .*linger.mss"):
        broker.producer({"linger.mss": 1})
    with pytest.raises(SettingError, match=r"consumer_config: .*fetch.min.bites"):
        Member(broker, "group", "topic", extra={"fetch.min.bites": 1}).poll()


def test_the_next_generation_protocol_takes_no_timeouts_of_the_old_one(nobody: str) -> None:
    member = Member(
        QuixBroker(nobody),
        "group",
        "topic",
        group_protocol="consumer",
        instance="one",
        extra={"session.timeout.ms": 6000, "heartbeat.interval.ms": 500},
    )
    member.poll()
    member.leave()


# A broker that is not there.


def test_nobody_listening_is_told_with_the_address_in_time(nobody: str) -> None:
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match=nobody) as caught:
        QuixBroker(nobody).topics(3)
    assert time.monotonic() - begun < 5
    assert "refused" in str(caught.value)


def test_a_host_that_does_not_exist_is_told_in_time() -> None:
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match=r"nowhere\.invalid"):
        QuixBroker("nowhere.invalid:9092").topics(3)
    assert time.monotonic() - begun < 10


def test_a_consumer_says_once_that_nobody_is_there_and_goes_on(
    nobody: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "streamjobs.broker")
    member = Member(QuixBroker(nobody), "group", "topic")
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        member.poll(timeout=0.1)
    begun = time.monotonic()
    member.leave()
    assert time.monotonic() - begun < 5
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert f"Kafka at {nobody} does not answer" in said[0]
    assert capfd.readouterr().err == ""


def test_a_consumer_gives_up_after_a_long_absence(
    nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamjobs.broker.quix.watch.GIVE_UP_AFTER", 1.0)
    monkeypatch.setattr("streamjobs.broker.quix.watch.PROBE_EVERY", 0.1)
    member = Member(QuixBroker(nobody), "group", "topic")
    with pytest.raises(BrokerUnavailableError, match=f"Kafka at {nobody} has not answered for"):
        poll_until(lambda: False, member, within=20)
    member.leave()


def test_a_frozen_broker_holds_up_neither_a_commit_nor_leaving(
    topic_name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(consumer, "CLOSE_WITHIN", 1.0)
    code = (
        "from streamjobs.broker.embedded import EmbeddedCluster; import time; "
        "cluster = EmbeddedCluster(); print(cluster.address, flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as away:
        assert away.stdout is not None
        broker = QuixBroker(away.stdout.readline().strip())
        broker.create_topics([TopicSpec(topic_name, 4)], WITHIN)
        member = Member(broker, "group", topic_name)
        poll_until(lambda: member.held, member)
        away.send_signal(signal.SIGSTOP)
        os.waitpid(away.pid, os.WUNTRACED)  # a signal takes a moment, and a commit may be faster
        begun = time.monotonic()
        result = member.consumer.commit_now([Commit(TopicPartition(topic_name, 0), 1, "")], 1.0)
        member.leave()
        took = time.monotonic() - begun
        away.kill()
    assert result.error == "no answer within 1 s"
    assert took < 4
    assert member.told[-1][0] == "revoked"
    assert "left without a word" in caplog.text


@pytest.mark.parametrize(
    "within, error", [(5.0, None), (0.1, "Broker: Group rebalance in progress")]
)
def test_the_last_commit_outlives_the_end_of_a_rebalance(
    nobody: str, monkeypatch: pytest.MonkeyPatch, within: float, error: str | None
) -> None:
    refusals = [KafkaError.ILLEGAL_GENERATION, *[KafkaError.REBALANCE_IN_PROGRESS] * 3]

    def refuse(*_: object, **__: object) -> list[Offset]:
        if refusals:
            raise KafkaException(KafkaError(refusals.pop(0)))
        return []

    monkeypatch.setattr(GroupClient, "commit", refuse)
    member = Member(QuixBroker(nobody), "group", "topic")
    result = member.consumer.commit_now([Commit(TopicPartition("topic", 0), 1, "")], within)
    assert result.error == error


# Records.


def test_a_record_is_decoded_when_it_is_looked_at(
    broker: QuixBroker, topic: str, join: Callable[..., Member]
) -> None:
    write(broker, Message(topic, b"value", b"key", [("a", b"1"), ("none", None)], 2))
    member = join()
    poll_until(lambda: member.records, member)
    [record] = member.records
    assert isinstance(record, KafkaRecord)
    assert (record.topic, record.partition, record.offset) == (topic, 2, 0)
    assert (record.key, record.value, record.size) == (b"key", b"value", 8)
    assert record.header("a") == b"1"
    assert record.header("none") is None
    assert record.id == f"{topic}/2/0"


def test_no_headers_and_no_key(broker: QuixBroker, topic: str, join: Callable[..., Member]) -> None:
    write(broker, Message(topic, None))
    member = join()
    poll_until(lambda: member.records, member)
    [record] = member.records
    assert (record.headers, record.key, record.value, record.size) == ((), None, None, 0)


# The group.


SOON = {"heartbeat.interval.ms": 200}  # how often a member asks whether to rebalance


@pytest.mark.parametrize("protocol,rounds", [("classic", 3), ("consumer", 1)])
def test_partitions_that_stay_lose_nothing_while_others_move(
    protocol: str, rounds: int, broker: QuixBroker, topic: str, join: Callable[..., Member]
) -> None:
    writing = threading.Event()

    def keep_writing() -> None:
        producer = broker.producer({})
        while not writing.is_set():
            for message in numbered(topic, 400):
                producer.send(message)
            producer.flush(WITHIN)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    stays = join(group_protocol=protocol, extra=SOON)
    poll_until(lambda: len(stays.held) == 4, stays)
    try:
        for _ in range(rounds):
            comes = join(group_protocol=protocol, extra=SOON)
            poll_until(lambda who=comes: who.held, stays, comes)
            comes.leave()
            poll_until(lambda: len(stays.held) == 4, stays)
    finally:
        writing.set()
        writer.join()
    moved = {place for what, places in stays.told if what == "revoked" for place in places}
    kept = [partition for partition in range(4) if (topic, partition) not in moved]
    assert kept
    for partition in kept:
        read = stays.read(topic, partition)
        assert read == list(range(len(read)))


def test_a_named_instance_comes_back_without_a_rebalance(join: Callable[..., Member]) -> None:
    first, other = join(instance="one"), join(instance="two")
    poll_until(lambda: len(first.held) == len(other.held) == 2, first, other)
    held, told = set(first.held), len(other.told)
    first.leave()
    again = join(instance="one")
    poll_until(lambda: again.held, again, other)
    assert again.held == held
    assert len(other.told) == told


def test_a_listener_that_raises_is_heard_in_the_next_poll(
    broker: QuixBroker, topic: str, join: Callable[..., Member]
) -> None:
    class Broken(Member):
        def on_assigned(self, assigned: object) -> None:
            raise LookupError("mine")

    member = Broken(broker, topic, topic)
    with pytest.raises(LookupError, match="mine"):
        poll_until(lambda: False, member)
    member.leave()


def test_a_broker_that_goes_away_during_an_assignment_is_asked_again(
    topic: str, join: Callable[..., Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    placed, gone = GroupClient.placed, [KafkaError._UNKNOWN_PARTITION] * 2

    def once_gone(client: GroupClient, committed: object) -> list[Assigned]:
        if committed and gone:
            raise KafkaException(KafkaError(gone.pop()))
        return placed(client, committed)  # type: ignore[arg-type]

    monkeypatch.setattr(GroupClient, "placed", once_gone)
    member = join()
    poll_until(lambda: len(member.held) == 4, member)
    assert not gone


def test_a_poll_that_may_take_nothing_still_hears_the_group(
    broker: QuixBroker, topic: str, join: Callable[..., Member]
) -> None:
    busy, other = join(extra=SOON), join(extra=SOON)
    poll_until(lambda: len(busy.held) == len(other.held) == 2, busy, other)
    write(broker, *numbered(topic, 100))
    other.leave()
    deadline = time.monotonic() + WITHIN
    while len(busy.held) < 4 and time.monotonic() < deadline:
        assert busy.poll(limit=0) == []
        time.sleep(0.01)
    assert len(busy.held) == 4
    poll_until(lambda: len(busy.records) == 100, busy)
    for partition in range(4):
        assert busy.read(topic, partition) == list(range(25))


# Offsets.


def test_metadata_of_4095_characters_is_kept_and_4096_are_refused(
    topic: str, join: Callable[..., Member]
) -> None:
    member = join()
    poll_until(lambda: member.held, member)
    assert member.commit_now(topic, 0, 0, CJK[:4095]).error is None
    refused = member.commit_now(topic, 0, 0, CJK)
    assert refused.error is not None
    assert "metadata" in refused.error
    member.commit(topic, 1, 0, CJK)
    poll_until(lambda: member.commits, member)
    assert member.commits[0].error == refused.error
    rewound = member.consumer.rewind(TopicPartition(topic, 0))
    assert rewound is not None
    assert rewound.metadata == CJK[:4095]


def test_rewinding_reads_again_from_the_commit(
    broker: QuixBroker, topic: str, join: Callable[..., Member]
) -> None:
    write(broker, *numbered(topic, 10, partitions=1))
    member = join()
    poll_until(lambda: len(member.records) == 10, member)
    member.commit_now(topic, 0, 4, "note")
    place = TopicPartition(topic, 0)
    assert member.consumer.rewind(place) == Assigned(place, 4, "note", committed=4)
    poll_until(lambda: len(member.records) == 16, member)
    assert member.read(topic, 0)[10:] == [4, 5, 6, 7, 8, 9]


def test_a_partition_that_of_others_is_not_rewound(topic: str, join: Callable[..., Member]) -> None:
    assert join().consumer.rewind(TopicPartition(topic, 0)) is None


def test_a_commit_before_the_start_of_the_log_starts_at_the_log(
    broker: QuixBroker, topic: str, join: Callable[..., Member]
) -> None:
    write(broker, *numbered(topic, 10, partitions=1))
    first = join()
    poll_until(lambda: len(first.held) == 4, first)
    first.commit_now(topic, 0, 2, "note")
    first.leave()
    broker.delete_records({TopicPartition(topic, 0): 6}, WITHIN)
    second = join()
    poll_until(lambda: len(second.records) == 4, second)
    assert second.assigned(topic, 0)[1:] == (6, "note", 2)
    assert second.read(topic, 0) == [6, 7, 8, 9]


def test_records_deleted_before_they_were_read_are_said_and_skipped(
    broker: QuixBroker,
    topic: str,
    join: Callable[..., Member],
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(broker, *numbered(topic, 10, partitions=1))
    member = join(extra={"queued.min.messages": 1, "max.partition.fetch.bytes": 1})
    poll_until(lambda: len(member.held) == 4, member)
    place = TopicPartition(topic, 0)
    member.consumer.pause(place)
    broker.delete_records({place: 6}, WITHIN)
    member.consumer._client.read_from(place, 0)  # as if it had fetched none of them yet
    member.records.clear()
    member.consumer.resume(place)
    poll_until(lambda: len(member.records) == 4, member)
    assert member.read(topic, 0) == [6, 7, 8, 9]
    assert f"{place} has no offset 0: going on at 6" in caplog.text
    assert [what for what, _ in member.told] == ["assigned"]


def test_a_topic_that_was_made_anew_is_read_from_its_start(
    kafka: str, broker: QuixBroker, topic: str, join: Callable[..., Member]
) -> None:
    write(broker, *numbered(topic, 10, partitions=1))
    first = join()
    poll_until(lambda: len(first.held) == 4, first)
    first.commit_now(topic, 0, 1000, "of the old one")
    first.leave()
    second = join()
    poll_until(lambda: len(second.records) == 10, second)
    assert [each for each in second.told if each[0] == "lost"] == [
        ("lost", [TopicPartition(topic, 0)])
    ]
    assert second.assigned(topic, 0)[1:] == (0, "", -1)


def test_latest_starts_a_new_group_at_the_end(
    broker: QuixBroker, topic: str, join: Callable[..., Member]
) -> None:
    write(broker, *numbered(topic, 10, partitions=1))
    member = join(extra={"auto.offset.reset": "latest"})
    poll_until(lambda: len(member.held) == 4, member)
    assert member.assigned(topic, 0).offset == 10


# Writing.


def test_a_message_that_is_too_large_is_refused_at_once(broker: QuixBroker, topic: str) -> None:
    with pytest.raises(DeliveryError, match="too large"):
        broker.producer({}).send(Message(topic, b"v" * 2_000_000))


def test_a_message_to_a_missing_topic_is_refused_at_once(
    broker: QuixBroker, topic_name: str
) -> None:
    with pytest.raises(DeliveryError, match=f"is there a topic '{topic_name}'"):
        broker.producer({}).send(Message(topic_name, b"v"))
    assert topic_name not in broker.topics(WITHIN)


def test_a_missing_partition_is_refused_at_once(broker: QuixBroker, topic: str) -> None:
    with pytest.raises(DeliveryError, match=r"[Uu]nknown partition"):
        broker.producer({}).send(Message(topic, b"v", partition=99))


def test_a_full_queue_waits_and_calls_nobody(broker: QuixBroker, topic: str) -> None:
    told: list[tuple[Delivery, int]] = []
    producer = broker.producer({"queue.buffering.max.messages": 10, "linger.ms": 0})
    for message in numbered(topic, 100):
        producer.send(message, lambda delivery: told.append((delivery, threading.get_ident())))
    assert told == []
    assert producer.flush(WITHIN) == 0
    assert len(told) == 100


def test_threads_may_send_at_the_same_time(
    broker: QuixBroker, topic: str, join: Callable[..., Member]
) -> None:
    producer, told = broker.producer({}), list[Delivery]()

    def send(name: int) -> None:
        for number in range(200):
            producer.send(Message(topic, b"%d" % number, b"%d" % name), told.append)

    threads = [threading.Thread(target=send, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert producer.flush(WITHIN) == 0
    assert len({(each.partition, each.offset) for each in told}) == 1600
    member = join()
    poll_until(lambda: len(member.records) == 1600, member)
    for name in range(8):
        values = [record.value for record in member.records if record.key == b"%d" % name]
        assert values == [b"%d" % number for number in range(200)]


# Topics.


def test_creating_a_topic_takes_less_than_a_second(broker: QuixBroker, topic_name: str) -> None:
    broker.topics(WITHIN)
    took = []
    for name in (f"{topic_name}-{number}" for number in range(3)):
        begun = time.monotonic()
        broker.create_topics([TopicSpec(name, 3)], WITHIN)
        took.append(time.monotonic() - begun)
        assert broker.topics(WITHIN)[name] == 3
    assert min(took) < 1, took  # a busy machine is slow now and then; who sleeps is it every time


def test_a_topic_the_cluster_refuses_is_told_with_its_reason(
    broker: QuixBroker, topic_name: str
) -> None:
    with pytest.raises(TopicError, match=f"{topic_name}.*[Rr]eplication"):
        broker.create_topics([TopicSpec(topic_name, 1, replication=5)], WITHIN)


def test_settings_of_a_topic_are_handed_through(
    kafka: str, broker: QuixBroker, topic_name: str
) -> None:
    config = {"cleanup.policy": "compact", "segment.ms": "60000"}
    broker.create_topics([TopicSpec(topic_name, config=config)], WITHIN)
    admin = AdminClient({"bootstrap.servers": kafka})
    place = ConfigResource(ConfigResource.Type.TOPIC, topic_name)
    [answer] = admin.describe_configs([place]).values()
    found = answer.result()
    assert {name: found[name].value for name in config} == config


def test_a_setting_of_a_topic_that_kafka_does_not_know_is_told(
    broker: QuixBroker, topic_name: str
) -> None:
    with pytest.raises(TopicError, match=f"{topic_name}.*cleanup.polizei"):
        broker.create_topics([TopicSpec(topic_name, config={"cleanup.polizei": "x"})], WITHIN)


def test_deleting_records_where_nobody_listens_is_told_in_time(nobody: str) -> None:
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match=nobody):
        QuixBroker(nobody).delete_records({TopicPartition("topic", 0): 1}, 2)
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize("policy", ["delete", "compact"])  # the client deletes, or is refused
def test_deleting_records_takes_no_reference_from_what_others_use(
    policy: str, broker: QuixBroker, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[Offset]] = []
    delete = AdminClient.delete_records

    def ask(admin: AdminClient, offsets: list[Offset], **options: float) -> object:
        asked.append(offsets)
        return delete(admin, offsets, **options)

    monkeypatch.setattr(AdminClient, "delete_records", ask)
    broker.create_topics([TopicSpec(topic_name, config={"cleanup.policy": policy})], WITHIN)
    write(broker, Message(topic_name, b"v", b"k"))
    for _ in range(5):
        with suppress(TopicError):
            broker.delete_records({TopicPartition(topic_name, 0): 1}, WITHIN)
    # With fewer, the memory of a list is used twice, and the process dies when that is noticed.
    *counts, usual = [sys.getrefcount(offsets) for offsets in [*asked, []]]
    assert min(counts) > usual  # `asked` has them, too
    gc.collect()


def test_records_of_a_compacted_topic_are_not_deleted(broker: QuixBroker, topic_name: str) -> None:
    broker.create_topics([TopicSpec(topic_name, config={"cleanup.policy": "compact"})], WITHIN)
    write(broker, Message(topic_name, b"v", b"k"))
    with pytest.raises(TopicError, match=rf"records of {topic_name}\[0\] cannot be deleted: .*"):
        broker.delete_records({TopicPartition(topic_name, 0): 1}, WITHIN)


def test_kafkas_own_topics_are_left_out(
    broker: QuixBroker, topic: str, join: Callable[..., Member]
) -> None:
    member = join()
    poll_until(lambda: member.held, member)
    member.commit_now(topic, 0, 0)
    assert not [name for name in broker.topics(WITHIN) if name.startswith("__")]


def test_a_consumer_of_a_topic_that_is_missing_says_so_once(
    broker: QuixBroker, topic_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    member = Member(broker, topic_name, topic_name)
    poll_until(lambda: topic_name in caplog.text, member)
    member.leave()
    assert caplog.text.count("not available") == 1


def test_options_are_kept_as_they_are(kafka: str) -> None:
    options = ConsumerOptions("group", ["topic"], extra={"fetch.wait.max.ms": 50})
    Member(QuixBroker(kafka), "group", "topic", extra=options.extra)
    assert options.extra == {"fetch.wait.max.ms": 50}


def test_an_end_that_was_told_moves_nobody_past_it(
    broker: QuixBroker, topic: str, join: Callable[..., Member]
) -> None:
    """Where messages are taken many at a time, the client counts the end as one that was consumed,
    and goes on behind it after a pause and after each rebalance.
    """
    place = TopicPartition(topic, 0)
    write(broker, *numbered(topic, 3, partitions=1))
    member = join(report_ends=True)
    poll_at_once(member, lambda: place in member.ends and len(member.read(*place)) == 3)

    member.consumer.pause(place)
    member.consumer.resume(place)
    poll_at_once(member, lambda: member.ends.count(place) > 1)
    write(broker, *numbered(topic, 2, partitions=1))
    poll_at_once(member, lambda: len(member.read(*place)) >= 5)

    assert member.read(*place) == [0, 1, 2, 3, 4]
    assert "lost" not in [told for told, _ in member.told]


def test_what_is_written_at_an_end_is_not_passed_over(
    broker: QuixBroker, topic: str, join: Callable[..., Member]
) -> None:
    place = TopicPartition(topic, 0)
    write(broker, *numbered(topic, 3, partitions=1))
    member = join(report_ends=True)
    poll_at_once(member, lambda: place in member.ends and len(member.read(*place)) == 3)

    member.consumer.pause(place)
    write(broker, *numbered(topic, 2, partitions=1))
    member.consumer.resume(place)
    poll_at_once(member, lambda: len(member.read(*place)) >= 5)

    assert member.read(*place) == [0, 1, 2, 3, 4]


def poll_at_once(member: Member, condition: Callable[[], object]) -> None:
    """Poll without waiting, so that all messages there are come together."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, (member.told, member.records)
        member.poll()
        time.sleep(0.01)
