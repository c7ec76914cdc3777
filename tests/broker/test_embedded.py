"""What is particular to the embedded broker, and what it cannot do: see its module's docstring."""

import logging
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from streamjobs import App
from streamjobs.broker import embedded
from streamjobs.broker.embedded import EmbeddedBroker, EmbeddedCluster
from streamjobs.broker.ports import Message, TopicPartition, TopicSpec
from streamjobs.broker.quix.broker import QuixBroker
from streamjobs.errors import ConfigurationError, SettingError, TopicError
from tests.support.members import WITHIN, Member, poll_until


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker()
    yield broker
    broker.close()


def test_it_says_nothing_on_stderr_and_ends() -> None:
    code = (
        "from streamjobs.broker.embedded import EmbeddedCluster; cluster = EmbeddedCluster(); "
        "cluster.create_topic('t', 2); print(cluster.address); cluster.close(); cluster.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout.startswith("127.0.0.1:")
    assert done.stderr == ""


def test_without_a_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_candidates", list)
    with pytest.raises(ConfigurationError, match=r"pip install .* confluent-kafka"):
        EmbeddedCluster()


def test_another_process_reaches_it_by_its_address(
    broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "streamjobs.broker")
    other = QuixBroker(broker.address)
    other.create_topics([TopicSpec("t", 2)], WITHIN)
    assert broker.topics(WITHIN) == {"t": 4}
    assert "topic t made by the mock cluster, 4 partitions" in caplog.text


def test_it_has_no_transactions_so_exactly_once_is_refused() -> None:
    app = App("accounts", broker="embedded", guarantee="exactly-once")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"transactions.*embedded"):
        _ = app.settings


def test_it_says_why_it_refuses_transactions(broker: EmbeddedBroker) -> None:
    with pytest.raises(ConfigurationError, match=r"mock cluster.*hides no aborted record"):
        broker.transactions("id", 10.0, {})


def test_what_it_cannot_do_is_said_to_another_process_too(broker: EmbeddedBroker) -> None:
    broker.create_topics([TopicSpec("t", 1, config={"cleanup.policy": "compact"})], WITHIN)
    other = QuixBroker(broker.address)
    with pytest.raises(TopicError, match="mock cluster deletes no records"):
        other.delete_records({TopicPartition("t", 0): 0}, WITHIN)


def test_joining_takes_a_moment(broker: EmbeddedBroker) -> None:
    broker.create_topics([TopicSpec("t", 4)], WITHIN)
    member = Member(broker, "group", "t")
    poll_until(lambda: len(member.held) == 4, member, within=3)
    member.leave()


def test_a_second_member_gets_its_share_and_what_stays_is_not_revoked(
    broker: EmbeddedBroker,
) -> None:
    broker.create_topics([TopicSpec("t", 4)], WITHIN)
    first = Member(broker, "group", "t")
    poll_until(lambda: len(first.held) == 4, first)
    begun = time.monotonic()
    second = Member(broker, "group", "t")
    poll_until(lambda: len(first.held) == len(second.held) == 2, first, second)
    assert time.monotonic() - begun < 10
    [revoked] = [places for what, places in first.told if what == "revoked"]
    assert set(revoked) == second.held
    first.leave()
    second.leave()


def test_a_full_partition_forgets_its_oldest_records_and_reading_goes_on(
    broker: EmbeddedBroker,
) -> None:
    broker.create_topics([TopicSpec("t", 1)], WITHIN)
    producer = broker.producer({})
    for _ in range(12_000):
        producer.send(Message("t", b"v" * 1000))
    assert producer.flush(WITHIN) == 0
    member = Member(broker, "group", "t")
    poll_until(lambda: member.records and member.records[-1].offset == 11_999, member)
    member.leave()
    read = member.read("t", 0)
    assert 4_000 < len(read) < 6_000
    assert read == list(range(read[0], 12_000))
