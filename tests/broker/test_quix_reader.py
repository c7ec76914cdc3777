"""What is particular to readers on Kafka; what all brokers share is in tests/contract."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaError, Producer

from streamjobs.broker.embedded import EmbeddedCluster
from streamjobs.broker.ports import LogRange, Message, Reader, TopicPartition, TopicSpec
from streamjobs.broker.quix.broker import QuixBroker
from streamjobs.errors import BrokerUnavailableError, SettingError
from tests.support.members import WITHIN

FIND_COORDINATOR = 10  # the number of the request


@pytest.fixture
def broker(kafka: str) -> QuixBroker:
    return QuixBroker(kafka)


@pytest.fixture
def reader(broker: QuixBroker) -> Iterator[Reader]:
    reader = broker.reader({})
    yield reader
    reader.close()


@pytest.fixture
def partition(broker: QuixBroker, topic_name: str) -> TopicPartition:
    broker.create_topics([TopicSpec(topic_name, 1)], WITHIN)
    return TopicPartition(topic_name, 0)


def read_until(
    condition: Callable[[], object], reader: Reader, within: float = WITHIN
) -> list[int]:
    """The offsets that come until the condition holds."""
    offsets: list[int] = []
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        for _, records in reader.poll(1000, 0.05):
            offsets += [record.offset for record in records]
    return offsets


# Settings.


@pytest.mark.parametrize("name", ["group.id", "enable.partition.eof", "enable.auto.commit"])
def test_settings_that_would_break_promises_are_refused(name: str) -> None:
    with pytest.raises(SettingError, match=f"consumer_config: {name} cannot be set here: "):
        QuixBroker("127.0.0.1:1").reader({name: "x"})


def test_settings_the_client_does_not_know_are_setting_errors() -> None:
    partition = TopicPartition("topic", 0)
    reader = QuixBroker("127.0.0.1:1").reader({"fetch.min.bites": 1})
    for call in (
        lambda: reader.seek(partition, 0),
        lambda: reader.poll(1, 0),
        lambda: reader.range(partition, 1),
    ):
        with pytest.raises(SettingError, match=r"consumer_config: .*fetch.min.bites"):
            call()


def test_a_group_member_and_a_reader_take_the_same_settings(
    broker: QuixBroker, partition: TopicPartition
) -> None:
    extra = {"auto.offset.reset": "latest", "session.timeout.ms": 6000, "fetch.wait.max.ms": 10}
    reader = broker.reader(extra)
    for _ in range(2):
        broker.producer({}).send(Message(partition.topic, b"v"))
    read_until(lambda: reader.range(partition, WITHIN).end == 2, reader)
    broker.delete_records({partition: 1}, WITHIN)
    reader.seek(partition, 0)
    assert read_until(lambda: reader.at_end(partition), reader) == [1]
    reader.close()


# Transactions.


def transaction(kafka: str, partition: TopicPartition, values: list[bytes]) -> Producer:
    """One that is open, with all of its records written."""
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": partition.topic})
    producer.init_transactions(WITHIN)
    producer.begin_transaction()
    for value in values:
        producer.produce(partition.topic, value, partition=partition.partition)
    assert producer.flush(WITHIN) == 0
    return producer


def test_an_open_transaction_is_behind_the_end(
    kafka: str, reader: Reader, partition: TopicPartition
) -> None:
    producer = transaction(kafka, partition, [b"a", b"b"])
    assert reader.range(partition, WITHIN) == LogRange(0, 0)
    reader.seek(partition, 0)
    assert read_until(lambda: reader.at_end(partition), reader) == []
    producer.commit_transaction(WITHIN)
    read: list[int] = []
    read += read_until(lambda: not reader.at_end(partition), reader)
    read += read_until(lambda: reader.at_end(partition), reader)
    assert read == [0, 1]
    assert reader.range(partition, WITHIN) == LogRange(0, 3)  # its marker has an offset, too


def test_an_aborted_transaction_is_left_out_and_the_end_is_found_after_it(
    kafka: str, broker: QuixBroker, reader: Reader, partition: TopicPartition
) -> None:
    producer = transaction(kafka, partition, [b"a"])
    producer.commit_transaction(WITHIN)
    producer.begin_transaction()
    producer.produce(partition.topic, b"b", partition=0)
    producer.flush(WITHIN)
    producer.abort_transaction(WITHIN)
    reader.seek(partition, 0)
    assert read_until(lambda: reader.at_end(partition), reader) == [0]
    assert reader.range(partition, WITHIN) == LogRange(0, 4)


# A broker that is not there, or refuses.


def test_making_a_reader_and_sending_it_somewhere_waits_for_nobody(nobody: str) -> None:
    begun = time.monotonic()
    reader = QuixBroker(nobody).reader({})
    for offset in range(100):
        reader.seek(TopicPartition("topic", 0), offset)
    reader.stop(TopicPartition("topic", 0))
    reader.close()
    assert time.monotonic() - begun < 1


def test_a_question_nobody_answers_is_told_with_the_address_in_time(nobody: str) -> None:
    reader = QuixBroker(nobody).reader({})
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match=f"Kafka at {nobody}: "):
        reader.range(TopicPartition("topic", 0), 0.5)
    assert time.monotonic() - begun < 2
    reader.close()


def test_a_reader_says_once_that_nobody_is_there_and_goes_on(
    nobody: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "streamjobs.broker")
    reader = QuixBroker(nobody).reader({})
    reader.seek(TopicPartition("topic", 0), 0)
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        assert reader.poll(10, 0.1) == []
    reader.close()
    [said] = [record.getMessage() for record in caplog.records]
    assert f"Kafka at {nobody} does not answer" in said
    assert capfd.readouterr().err == ""


def test_a_reader_gives_up_after_a_long_absence(
    nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamjobs.broker.quix.watch.GIVE_UP_AFTER", 1.0)
    monkeypatch.setattr("streamjobs.broker.quix.watch.PROBE_EVERY", 0.1)
    reader = QuixBroker(nobody).reader({})
    with pytest.raises(BrokerUnavailableError, match=f"Kafka at {nobody} has not answered for"):
        read_until(lambda: False, reader, within=20)
    reader.close()


def test_a_frozen_broker_holds_up_neither_a_question_nor_a_seek_nor_closing() -> None:
    code = (
        "from streamjobs.broker.embedded import EmbeddedCluster; import time; "
        "cluster = EmbeddedCluster(); cluster.create_topic('t'); "
        "print(cluster.address, flush=True); time.sleep(100)"
    )
    partition = TopicPartition("t", 0)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as away:
        assert away.stdout is not None
        reader = QuixBroker(away.stdout.readline().strip()).reader({})
        reader.seek(partition, 0)
        read_until(lambda: reader.at_end(partition), reader)
        away.send_signal(signal.SIGSTOP)
        os.waitpid(away.pid, os.WUNTRACED)  # it takes a moment
        begun = time.monotonic()
        with pytest.raises(BrokerUnavailableError, match="Timed out"):
            reader.range(partition, 1.0)
        reader.seek(partition, 0)
        reader.poll(1, 0.1)
        reader.stop(partition)
        reader.close()
        took = time.monotonic() - begun
        away.kill()
    assert took < 4


def test_it_needs_no_right_to_a_group() -> None:
    cluster = EmbeddedCluster()
    cluster.create_topic("t")
    broker = QuixBroker(cluster.address)
    refusals = (ctypes.c_int * 9)(*[KafkaError.GROUP_AUTHORIZATION_FAILED] * 9)
    refuse = cluster._library.rd_kafka_mock_push_request_errors_array
    refuse.argtypes = [ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t, ctypes.c_void_p]
    refuse(cluster._cluster, FIND_COORDINATOR, len(refusals), refusals)
    reader, partition = broker.reader({}), TopicPartition("t", 0)
    reader.seek(partition, 0)
    read_until(lambda: reader.at_end(partition), reader)
    reader.poll(1, 0.2)  # after the refusal was heard
    broker.producer({}).send(Message("t", b"v"))
    assert read_until(lambda: not reader.at_end(partition), reader) == [0]
    reader.close()
    cluster.close()
