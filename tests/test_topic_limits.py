"""Records that a topic would not take are refused before they are written."""

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamjobs import Context, Retry
from streamjobs.broker.memory import MemoryBroker
from streamjobs.broker.ports import TopicSpec
from streamjobs.counts import Counts
from streamjobs.failures.letters import read_letter
from streamjobs.state.changelog import changelog_topic
from streamjobs.topic_limits import batches_that_fit, topic_limits
from tests.support.apps import GROUP, Stage

NARROW = {"max.message.bytes": "2000"}
CHANGELOG = changelog_topic(GROUP, "orders", "default")


@pytest.fixture(params=["at-least-once", "exactly-once"])
def stage(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Stage]:
    settings = {"guarantee": request.param, "state_dir": str(tmp_path), "retry": Retry(attempts=1)}
    with Stage({"orders": 1}, **settings) as stage:
        yield stage


def narrow(stage: Stage, topic: str) -> None:
    stage.broker.create_topics([TopicSpec(topic, 1, config=NARROW)], 1)


def work(stage: Stage, *sizes: int) -> Counts:
    """Let it handle orders of so many bytes, each with a key of its own."""
    for size in sizes:
        stage.write("orders", b"x" * size, key=b"%d" % size)
    with capture_logs():
        return stage.work()


def test_a_state_value_that_the_changelog_would_not_take_fails_its_record_alone(
    stage: Stage,
) -> None:
    narrow(stage, CHANGELOG)

    @stage.app.stream("orders", value="bytes", state=True)
    def keep(value: bytes, ctx: Context) -> None:
        ctx.state.set("last", value)

    counts = work(stage, 100, 10_000, 200)

    assert (counts.done, counts.dead_lettered_records) == (2, 1)
    letter = stage.letter("orders.dead")
    assert letter.record.key == b"10000"
    assert letter.death.error.endswith("StateTooLargeError")
    assert "max.message.bytes of the changelog topic" in letter.death.message
    assert [record.key is not None for record in stage.records(CHANGELOG)] == [True, True]


def test_what_a_known_output_topic_would_not_take_fails_its_record_alone(stage: Stage) -> None:
    narrow(stage, "answers")

    @stage.app.stream("orders", value="bytes", to="answers")
    def answer(value: bytes) -> bytes:
        return value

    counts = work(stage, 100, 10_000, 200)

    assert (counts.done, counts.dead_lettered_records) == (2, 1)
    assert "max.message.bytes of the topic" in stage.letter("orders.dead").death.message
    assert {len(record.value or b"") for record in stage.records("answers")} == {100, 200}


def test_a_letter_goes_without_its_traceback_where_its_topic_is_narrow(stage: Stage) -> None:
    narrow(stage, "orders.dead")

    @stage.app.stream("orders", value="bytes")
    def fail(value: bytes) -> None:
        raise LookupError("nowhere")

    work(stage, 100)

    (record,) = stage.records("orders.dead")
    assert read_letter(record).death.traceback == ""


def test_what_nobody_knew_is_learned_from_the_refusal_and_fails_its_record_alone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryBroker, "largest_batches", lambda *_: {})
    narrow(stage, CHANGELOG)

    @stage.app.stream("orders", value="bytes", state=True)
    def keep(value: bytes, ctx: Context) -> None:
        ctx.state.set("last", value)

    work(stage, 100, 10_000, 200, 9_000)

    letters = stage.records("orders.dead")
    assert {letter.key for letter in letters} == {b"10000", b"9000"}
    assert read_letter(letters[0]).death.error.endswith("StateTooLargeError")
    assert {record.key for record in stage.records(CHANGELOG)} == {b'100|"last"', b'200|"last"'}


# What is asked, and what follows from it.


def test_only_topics_that_take_less_than_the_producer_have_a_limit() -> None:
    broker = MemoryBroker()
    broker.create_topics([TopicSpec("narrow", config=NARROW), TopicSpec("wide")], 1)

    assert topic_limits(broker, ["narrow", "wide"], {}) == {"narrow": 2000}
    assert topic_limits(broker, ["narrow", "wide"], {"message.max.bytes": 1000}) == {}


@pytest.mark.parametrize("name", ["compression.type", "compression.codec"])
def test_with_compression_nobody_knows_how_large_a_record_will_be(name: str) -> None:
    broker = MemoryBroker()
    broker.create_topics([TopicSpec("narrow", config=NARROW)], 1)

    assert topic_limits(broker, ["narrow"], {name: "lz4"}) == {}
    assert topic_limits(broker, ["narrow"], {name: "none"}) == {"narrow": 2000}


def test_batches_are_as_large_as_the_narrowest_topic_takes() -> None:
    assert batches_that_fit({"linger.ms": 1}, {"a": 2000, "b": 3000}) == {
        "linger.ms": 1,
        "batch.size": 2000,
    }
    assert batches_that_fit({"batch.size": 500}, {"a": 2000})["batch.size"] == 500


def test_without_limits_the_producer_is_left_alone() -> None:
    assert batches_that_fit({"linger.ms": 1}, {}) == {"linger.ms": 1}
