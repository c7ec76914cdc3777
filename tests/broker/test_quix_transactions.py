"""What is particular to transactions on Kafka; what brokers share is in tests/contract."""

import gc
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamjobs.broker.ports import Commit, Delivery, Message, TopicPartition, TopicSpec
from streamjobs.broker.quix import transactions as module
from streamjobs.broker.quix.broker import QuixBroker
from streamjobs.broker.quix.transactions import QuixTransactions
from streamjobs.errors import (
    AbortableTransactionError,
    BrokerUnavailableError,
    ConfigurationError,
    DeliveryError,
    FencedError,
    SettingError,
    StreamjobsError,
    UnknownTransactionError,
)
from tests.support.members import WITHIN, Member, poll_until


@pytest.fixture
def broker(kafka: str) -> QuixBroker:
    return QuixBroker(kafka)


@pytest.fixture
def topic(broker: QuixBroker, topic_name: str) -> str:
    broker.create_topics([TopicSpec(topic_name)], WITHIN)
    return topic_name


def started(broker: QuixBroker, name: str, timeout: float = 10.0) -> QuixTransactions:
    transactions = broker.transactions(name, timeout, {})
    assert isinstance(transactions, QuixTransactions)
    transactions.start(WITHIN)
    return transactions


# Settings.


@pytest.mark.parametrize("name", ["transactional.id", "transaction.timeout.ms", "acks"])
def test_settings_that_would_break_promises_are_refused(name: str) -> None:
    with pytest.raises(SettingError, match=f"producer_config: {name} cannot be set here: "):
        QuixBroker("127.0.0.1:1").transactions("id", 10.0, {name: "x"})


def test_a_timeout_that_the_broker_does_not_allow_is_told(
    broker: QuixBroker, topic_name: str
) -> None:
    with pytest.raises(BrokerUnavailableError, match=r"transaction\.max\.timeout\.ms"):
        started(broker, topic_name, timeout=100_000.0)


# A record that is refused.


def test_a_record_that_the_broker_refuses_fails_its_transaction_and_no_other(
    broker: QuixBroker, topic_name: str
) -> None:
    small = TopicSpec(topic_name, config={"max.message.bytes": "1000"})
    broker.create_topics([small], WITHIN)
    transactions, told = started(broker, topic_name), list[Delivery]()
    transactions.begin()
    transactions.send(Message(topic_name, b"v" * 5000), told.append)
    assert transactions.flush(WITHIN) == 0
    assert told[0].error == "Broker: Message size too large"
    with pytest.raises(AbortableTransactionError, match="before this one"):
        transactions.send(Message(topic_name, b"v"))
    with pytest.raises(AbortableTransactionError, match="too large"):
        transactions.commit([], None, WITHIN)
    transactions.abort(WITHIN)

    def commits() -> bool:
        """The client misses the sequence number of the refused one: that costs one more abort."""
        transactions.begin()
        transactions.send(Message(topic_name, b"v"), told.append)
        try:
            transactions.commit([], None, WITHIN)
        except AbortableTransactionError:
            transactions.abort(WITHIN)
            return False
        return True

    assert commits() or commits()
    assert told[-1].error is None


def test_a_missing_partition_is_refused_at_once(broker: QuixBroker, topic: str) -> None:
    transactions = started(broker, topic)
    transactions.begin()
    with pytest.raises(DeliveryError, match=r"[Uu]nknown partition"):
        transactions.send(Message(topic, b"v", partition=99))
    transactions.commit([], None, WITHIN)


# Fencing.


def test_who_was_fenced_says_so_to_its_caller_alone_and_ends(
    broker: QuixBroker,
    topic: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO, "streamjobs.broker")
    gc.collect()
    before = threads()
    fence(broker, topic)
    gc.collect()
    assert threads() == before
    assert caplog.messages == []
    assert capfd.readouterr().err == ""


def fence(broker: QuixBroker, topic: str) -> None:
    old = started(broker, topic)
    old.begin()
    old.send(Message(topic, b"old"))
    old.flush(WITHIN)
    new = started(broker, topic)

    def go_on() -> None:
        for _ in range(100):  # how soon it is known is not known
            old.send(Message(topic, b"again"))
            old.poll(0.1)

    with pytest.raises(FencedError, match=f"transactional id {topic}: .*same one"):
        go_on()
    for call in (old.begin, lambda: old.commit([], None, 1.0), lambda: old.abort(1.0)):
        with pytest.raises(FencedError):
            call()
    old.close()
    new.close()


def threads() -> int:
    """Of this process, with those of its clients."""
    return len(list(Path("/proc/self/task").iterdir()))


def test_the_protocol_of_kafka_4_knows_members_by_what_they_were_given(
    broker: QuixBroker, topic: str
) -> None:
    member = Member(broker, topic, topic, group_protocol="consumer")
    assert member.consumer.group_metadata() is None
    poll_until(lambda: member.held, member)
    transactions = started(broker, topic)
    transactions.begin()
    place = TopicPartition(topic, 0)
    transactions.commit([Commit(place, 0, "note")], member.consumer.group_metadata(), WITHIN)
    rewound = member.consumer.rewind(place)
    assert rewound is not None
    assert rewound.metadata == "note"
    member.leave()
    assert member.consumer.group_metadata() is None


# Mistakes.


def test_steps_in_another_order_are_mistakes(broker: QuixBroker, topic: str) -> None:
    transactions = broker.transactions(topic, 10.0, {})
    with pytest.raises(RuntimeError, match=topic):
        transactions.begin()
    transactions.start(WITHIN)
    with pytest.raises(RuntimeError, match=topic):
        transactions.abort(1.0)
    transactions.begin()
    with pytest.raises(RuntimeError, match=topic):
        transactions.begin()


# A broker that is not there.


def test_starting_where_nobody_listens_is_told_with_the_address_in_time(nobody: str) -> None:
    transactions = QuixBroker(nobody).transactions("id", 10.0, {})
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match=nobody):
        transactions.start(1.0)
    transactions.close()
    assert time.monotonic() - begun < 3


@pytest.fixture
def away() -> Iterator[tuple[QuixTransactions, Callable[[], None]]]:
    """An open transaction on a broker, and how to freeze that. (Not a real one: we have just one.
    A mock cluster takes the calls as long as nobody has asked it what it is.)
    """
    code = (
        "from streamjobs.broker.embedded import EmbeddedCluster; import time; "
        "cluster = EmbeddedCluster(); cluster.create_topic('t'); "
        "print(cluster.address, flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as away:
        assert away.stdout is not None
        transactions = started(QuixBroker(away.stdout.readline().strip()), "id")
        transactions.begin()

        def freeze() -> None:
            away.send_signal(signal.SIGSTOP)
            os.waitpid(away.pid, os.WUNTRACED)  # it takes a moment

        yield transactions, freeze
        away.kill()


def failure(call: Callable[[], None]) -> StreamjobsError:
    with pytest.raises(StreamjobsError) as caught:
        call()
    return caught.value


def test_a_frozen_broker_leaves_a_commit_unknown_and_holds_up_nobody(
    away: tuple[QuixTransactions, Callable[[], None]],
) -> None:
    transactions, freeze = away
    transactions.send(Message("t", b"v"))
    assert transactions.flush(WITHIN) == 0
    freeze()
    begun = time.monotonic()
    assert isinstance(failure(lambda: transactions.commit([], None, 1.0)), UnknownTransactionError)
    transactions.close()
    assert time.monotonic() - begun < 3


def test_a_frozen_broker_leaves_an_unwritten_record_to_be_aborted(
    away: tuple[QuixTransactions, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_WITHIN", 1.0)
    transactions, freeze = away
    told: list[Delivery] = []
    transactions.send(Message("t", b"v"))  # its topic is looked up
    freeze()
    transactions.send(Message("t", b"v"), told.append)
    begun = time.monotonic()
    late = failure(lambda: transactions.commit([], None, 0.5))
    assert isinstance(late, AbortableTransactionError)
    assert "not acknowledged within 0.5 s" in str(late)
    assert isinstance(failure(lambda: transactions.abort(0.5)), UnknownTransactionError)
    while not told and time.monotonic() - begun < 4:  # the client drops it in a thread of its own
        transactions.poll(0.1)
    assert told[0].error is not None
    transactions.close()
    assert time.monotonic() - begun < 4


def test_a_frozen_broker_holds_up_closing_for_a_moment(
    away: tuple[QuixTransactions, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_WITHIN", 0.5)
    transactions, freeze = away
    transactions.send(Message("t", b"v"))
    freeze()
    begun = time.monotonic()
    transactions.close()
    assert time.monotonic() - begun < 3


def test_a_mock_cluster_is_refused_by_its_address_too() -> None:
    from streamjobs.broker.embedded import EmbeddedCluster

    cluster = EmbeddedCluster()
    broker = QuixBroker(cluster.address)
    broker.topics(WITHIN)
    with pytest.raises(ConfigurationError, match=r"mock cluster, which has no transactions"):
        broker.transactions("id", 10.0, {})
    cluster.close()
