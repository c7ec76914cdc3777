"""Records that a topic of a real Kafka does not take: their own failure, and nobody else's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from structlog.testing import capture_logs

from streamjobs import App, Context, Retry
from streamjobs.broker.quix.broker import QuixBroker
from streamjobs.exit_codes import ExitCode
from streamjobs.runtime import Runtime
from streamjobs.state.changelog import changelog_topic

pytestmark = pytest.mark.kafka

BOTH = pytest.mark.parametrize("guarantee", ["exactly-once", "at-least-once"])
NARROW = {"max.message.bytes": "2000"}


class Shop:
    """An app of its own, whose records have a narrow place to go to."""

    def __init__(self, kafka: str, topic: str, folder: Path, guarantee: Any) -> None:
        self.topic = topic
        self.app = App(
            topic,
            broker=kafka,
            guarantee=guarantee,
            state_dir=str(folder),
            instance=topic,
            retry=Retry(attempts=1),
        )
        self.changelog = changelog_topic(topic, topic, "default")
        self._kafka = kafka

    def create(self, topic: str, **config: str) -> None:
        admin = AdminClient({"bootstrap.servers": self._kafka})
        admin.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result(10)

    def send(self, sizes: dict[str, int]) -> None:
        """Records of so many bytes, by key."""
        producer = Producer({"bootstrap.servers": self._kafka})
        for key, size in sizes.items():
            producer.produce(self.topic, b"x" * size, key)
        assert producer.flush(10) == 0

    def work(self) -> Runtime:
        runtime = Runtime(self.app)
        with capture_logs():
            assert runtime.run(until_idle=True) is ExitCode.OK
        self.app.close()
        return runtime

    def keys(self, topic: str) -> list[str]:
        """The keys of what is committed there."""
        reader = Consumer(
            {"bootstrap.servers": self._kafka, "group.id": "nobody", "enable.partition.eof": True}
        )
        reader.assign([TopicPartition(topic, 0, 0)])
        found = []
        while (message := reader.poll(10)) is not None and message.error() is None:
            found.append(str(message.key(), "utf-8", "replace"))
        reader.close()
        return found


Make = Callable[[Any], Shop]


@pytest.fixture
def shop(kafka: str, topic_name: str, tmp_path: Path) -> Make:
    return lambda guarantee: Shop(kafka, topic_name, tmp_path, guarantee)


@pytest.mark.timeout(90)
@BOTH
def test_a_state_value_that_the_changelog_topic_does_not_take_is_dead_lettered_alone(
    shop: Make, guarantee: str
) -> None:
    run = shop(guarantee)
    run.create(run.topic)
    run.create(run.changelog, **NARROW)

    @run.app.stream(run.topic, value="bytes", state=True)
    def keep(value: bytes, ctx: Context) -> None:
        ctx.state.set("last", value)

    run.send({"a": 100, "large": 10_000, "b": 100})
    counts = run.work().counts

    assert (counts.done, counts.dead_lettered_records) == (2, 1)
    assert run.keys(f"{run.topic}.dead") == ["large"]
    assert len(run.keys(run.changelog)) == 2


@pytest.mark.timeout(90)
@BOTH
def test_many_small_values_that_fit_one_by_one_are_not_refused_together(
    shop: Make, guarantee: str
) -> None:
    run = shop(guarantee)
    run.create(run.topic)
    run.create(run.changelog, **NARROW)

    @run.app.stream(run.topic, value="bytes", state=True)
    def keep(value: bytes, ctx: Context) -> None:
        ctx.state.set("last", value)

    run.send({f"k{number}": 500 for number in range(300)})
    counts = run.work().counts

    assert (counts.done, counts.dead_lettered_records) == (300, 0)
    assert len(run.keys(run.changelog)) == 300


@pytest.mark.timeout(90)
@BOTH
def test_where_the_broker_does_not_tell_its_refusal_is_remembered(
    shop: Make, guarantee: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuixBroker, "largest_batches", lambda *_: {})
    run = shop(guarantee)
    run.create(run.topic)
    run.create(run.changelog, **NARROW)

    @run.app.stream(run.topic, value="bytes", state=True)
    def keep(value: bytes, ctx: Context) -> None:
        ctx.state.set("last", value)

    run.send({f"k{number}": 500 for number in range(20)} | {"large": 10_000})
    run.work()

    # With at-least-once a letter may be there twice: what was aborted ran again.
    letters = run.keys(f"{run.topic}.dead")
    assert (letters if guarantee == "exactly-once" else list(set(letters))) == ["large"]
    assert len(run.keys(run.changelog)) == 20


@pytest.mark.timeout(90)
@BOTH
def test_a_returned_value_that_its_topic_does_not_take_is_dead_lettered_alone(
    shop: Make, guarantee: str
) -> None:
    run = shop(guarantee)
    run.create(run.topic)
    run.create(f"{run.topic}.answers", **NARROW)

    @run.app.stream(run.topic, value="bytes", to=f"{run.topic}.answers")
    def answer(value: bytes) -> bytes:
        return value

    run.send({"a": 100, "large": 10_000, "b": 100})
    counts = run.work().counts

    assert (counts.done, counts.dead_lettered_records) == (2, 1)
    assert run.keys(f"{run.topic}.dead") == ["large"]
    assert sorted(run.keys(f"{run.topic}.answers")) == ["a", "b"]


@pytest.mark.timeout(90)
@BOTH
def test_a_job_enqueued_by_an_attempt_is_committed_with_it(shop: Make, guarantee: str) -> None:
    run = shop(guarantee)
    run.create(run.topic)
    more = f"{run.topic}.more"
    run.create(more)
    seen: list[int] = []

    @run.app.job(topic=more, key="number")
    def later(number: int) -> None:
        seen.append(number)

    @run.app.stream(run.topic, value="bytes", retry=Retry(attempts=2, wait=0.1))
    def first(value: bytes, ctx: Context) -> None:
        later.enqueue(len(value))
        if ctx.attempt == 1:
            raise ConnectionError

    run.send({"a": 1, "b": 2})
    run.work()
    run.work()  # a process may be idle before it has read what it wrote last

    assert sorted(seen) == [1, 2]
    assert sorted(run.keys(more)) == ["1", "2"]
