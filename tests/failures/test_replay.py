"""Replaying dead letters, on a Kafka in memory."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from streamjobs import headers
from streamjobs.broker.memory import MemoryBroker, MemoryProducer
from streamjobs.broker.ports import Delivery, Message, TopicPartition
from streamjobs.errors import DeliveryError, RecordGoneError
from streamjobs.failures import replay
from streamjobs.failures.marks import Intent, Purged
from streamjobs.failures.replay import Replay
from streamjobs.failures.sender import Sender
from streamjobs.failures.settle import ReplayRunningError
from tests.support.letters import PLACE, SOURCE, PostOffice, by_key, death, letter_message

HEADERS = [("b", b"1"), ("a", None), ("b", b"\xff")]


@pytest.fixture
def post() -> PostOffice:
    return PostOffice()


# What arrives.


@pytest.mark.parametrize("key", [b"k", b"", None])
@pytest.mark.parametrize("value", [b"\x00\xff", b"", None])
def test_a_record_comes_back_byte_for_byte(
    post: PostOffice, key: bytes | None, value: bytes | None
) -> None:
    letter = post.bury(key, value, HEADERS)
    post.replay(ident="r1")

    (record,) = post.arrived()
    assert (record.key, record.value) == (key, value)
    assert list(record.headers) == [
        *HEADERS,
        ("streamjobs-replay-of", letter.encode()),
        ("streamjobs-replay", b"r1"),
    ]


def test_the_headers_of_an_earlier_replay_are_replaced(post: PostOffice) -> None:
    earlier = [(headers.REPLAY_OF, b"jobs.dead/0/77"), (headers.REPLAY, b"r0"), ("a", b"1")]
    letter = post.bury(headers=earlier)
    post.replay(ident="r1")

    (record,) = post.arrived()
    assert list(record.headers) == [
        ("a", b"1"),
        (headers.REPLAY_OF, letter.encode()),
        (headers.REPLAY, b"r1"),
    ]


def test_records_go_to_the_partition_they_came_from() -> None:
    post = PostOffice({"jobs": 3})
    for partition in (2, 0):
        post.bury(b"same key", b"%d" % partition, partition=partition)
    post.replay()

    assert [post.values(partition=number) for number in range(3)] == [[b"0"], [], [b"2"]]


def test_letters_arrive_in_their_order(post: PostOffice) -> None:
    for number in range(20):
        post.bury(b"%d" % (number % 3), b"%d" % number)
    post.replay()

    assert post.values() == [b"%d" % number for number in range(20)]


def test_what_is_replayed_is_not_replayed_again(post: PostOffice) -> None:
    letter = post.bury()

    assert [post.replay(ident=name).replayed for name in ("r1", "r2")] == [1, 0]
    assert post.states() == {letter: "replayed"}


def test_what_is_purged_is_not_replayed(post: PostOffice) -> None:
    post.bury(b"k", b"purged")
    post.bury(b"k", b"open")
    post.mark(Purged([0]))
    post.replay()

    assert post.values() == [b"open"]


def test_a_record_that_dies_again_can_be_replayed_again(post: PostOffice) -> None:
    post.bury()
    post.replay(ident="r1")
    (record,) = post.arrived()
    second = post.bury(record.key, record.value, record.headers)
    post.replay(ident="r2")

    assert [each.header(headers.REPLAY_OF) for each in post.arrived()] == [
        b"jobs.dead/0/0",
        second.encode(),
    ]


def test_many_letters_go_in_several_batches(
    post: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "BATCH_LETTERS", 3)
    for number in range(8):
        post.bury(value=b"%d" % number)

    assert post.replay().replayed == 8
    assert post.values() == [b"%d" % number for number in range(8)]
    marks = [each for each in post.cluster.log(*PLACE).records if each.header(headers.DEAD_MARK)]
    assert len(marks) == 2 * 3


def test_large_letters_make_smaller_batches(
    post: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "BATCH_BYTES", 100)
    sizes = [60, 60, 10, 200, 5]
    for size in sizes:
        post.bury(b"", b"x" * size)

    with post.opened() as (box, everything):
        batches = list(replay.in_batches(box.letters(everything)))

    assert [[each.record.size for each in batch] for batch in batches] == [[60, 60], [10, 200], [5]]


# What cannot be sent.


def test_a_letter_of_a_topic_that_is_gone_stays_open_with_the_reason(post: PostOffice) -> None:
    gone = post.cluster.append(letter_message(source="gone/0/0")).id
    post.bury(value=b"of another topic")

    assert post.replay().failed == {gone: "there is no topic 'gone' any more"}
    assert post.values() == [b"of another topic"]
    assert post.states()[gone] == "open"


class Picky(MemoryProducer):
    """Refuses the value `b"bad"`, and everything after it, as librdkafka does without gaps."""

    broken = False

    def send(self, message: Message, done: Callable[[Delivery], None] | None = None) -> None:
        self.broken = self.broken or message.value == b"bad"
        if self.broken:
            self.refuse(message, done)
        else:
            super().send(message, done)

    def refuse(self, message: Message, done: Callable[[Delivery], None] | None) -> None:
        raise DeliveryError("too large")


class Late(Picky):
    """Says so when it has been asked for other things already."""

    def refuse(self, message: Message, done: Callable[[Delivery], None] | None) -> None:
        self._deliveries.append((done, Delivery(message.topic, 0, -1, "too large")))


class Unsure(MemoryProducer):
    """Knows nothing of letters, the first time because they were not written, then although they
    were.
    """

    written = False

    def send(self, message: Message, done: Callable[[Delivery], None] | None = None) -> None:
        if message.topic != SOURCE:
            super().send(message, done)
            return
        if Unsure.written:
            self._cluster.append(message)
        Unsure.written = True
        self._deliveries.append((done, Delivery(message.topic, 0, -1, "no answer")))


class BrokerWith(MemoryBroker):
    """A broker whose producers are of some kind."""

    def __init__(self, kind: type[MemoryProducer], post: PostOffice) -> None:
        super().__init__(post.cluster)
        self._kind = kind

    def producer(self, extra: Mapping[str, Any]) -> MemoryProducer:
        return self._kind(self._cluster, self._process)


@pytest.fixture(params=[Picky, Late], ids=["at once", "later"])
def picky(post: PostOffice, request: pytest.FixtureRequest) -> PostOffice:
    """A broker that refuses some records, at once or some time after it was asked."""
    post.broker = BrokerWith(request.param, post)
    return post


def test_a_letter_that_is_refused_stays_open_with_the_reason(picky: PostOffice) -> None:
    bad = picky.bury(value=b"bad")
    summary = picky.replay()

    assert list(summary.failed) == [bad]
    assert "too large" in summary.failed[bad]
    assert picky.states() == {bad: "open"}


def test_no_letter_of_its_key_overtakes_a_refused_one(picky: PostOffice) -> None:
    earlier = picky.bury(b"k", b"earlier")
    bad = picky.bury(b"k", b"bad")
    later = picky.bury(b"k", b"later")
    summary = picky.replay()

    assert picky.values() == [b"earlier"]
    assert summary.held_back == {later: bad}
    assert picky.states() == {earlier: "replayed", bad: "open", later: "open"}


def test_letters_of_other_keys_pass_a_refused_one(picky: PostOffice) -> None:
    picky.bury(b"a", b"bad")
    for number in range(5):
        picky.bury(b"b", b"%d" % number)

    assert picky.replay().replayed == 5
    assert picky.values() == [b"%d" % number for number in range(5)]


def test_letters_without_a_key_pass_a_refused_one(picky: PostOffice) -> None:
    picky.bury(None, b"bad")
    picky.bury(None, b"good")
    picky.replay()

    assert picky.values() == [b"good"]


def test_a_key_stays_held_back_in_the_next_batch(
    picky: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "BATCH_LETTERS", 1)
    bad, later = picky.bury(b"k", b"bad"), picky.bury(b"k", b"later")

    assert picky.replay().held_back == {later: bad}
    assert picky.values() == []


def test_a_record_that_was_gone_is_not_replayed(post: PostOffice) -> None:
    gone = post.bury(b"k", None, died=death(RecordGoneError("deleted")))
    summary = post.replay()

    assert "purge this letter" in summary.failed[gone]
    assert post.arrived() == []


def test_a_record_that_arrived_though_there_was_an_error_counts_as_replayed(
    post: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Unsure, "written", False)
    post.broker = BrokerWith(Unsure, post)
    letter = post.bury()
    summary = post.replay()

    assert (summary.replayed, summary.failed) == (1, {})
    assert post.values() == [b"v"]
    assert post.states() == {letter: "replayed"}


# Two at a time.


def test_a_letter_that_another_replay_took_meanwhile_is_left_to_it(post: PostOffice) -> None:
    post.bury()
    with post.opened() as (box, everything):
        run = Replay(box, Sender(post.broker, {}), "r2", by_key)
        post.mark(Intent("r1", [0], {TopicPartition("jobs", 0): 0}))
        with pytest.raises(ReplayRunningError, match=r"jobs\.dead\[0\]"):
            run.run(everything)

    assert post.arrived() == []
