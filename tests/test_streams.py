"""Stream handlers: values, outputs, and what becomes of records that they cannot read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from streamjobs import Context, VirtualPartitions, current_context
from streamjobs.record import Record
from tests.support.apps import Stage


@dataclass
class Click:
    page: str
    at: datetime | None = None


class Order(BaseModel):
    number: int
    items: list[str] = []


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage({"in": 2, "out": 2}) as stage:
        yield stage


def values_of(stage: Stage, kind: Any, *raw: bytes | None) -> list[Any]:
    """What a handler of that kind of value gets for these records."""
    seen: list[Any] = []

    @stage.app.stream("in", value=kind)
    def handle(value: Any) -> None:
        seen.append(value)

    for value in raw:
        stage.write("in", value, key=b"k")
    stage.work()
    return seen


# Values.


@pytest.mark.parametrize(
    "kind, raw, value",
    [
        ("bytes", b"\xff\x00", b"\xff\x00"),
        ("json", b'{"a": [1, null]}', {"a": [1, None]}),
        ("json", b"7", 7),
        ("str", "Zürich".encode(), "Zürich"),
        (int, b"7", 7),
        (list[int], b"[1, 2]", [1, 2]),
        (dict[str, Decimal], b'{"a": "1.10"}', {"a": Decimal("1.10")}),
        (Click, b'{"page": "/", "at": "2024-01-01T00:00:00Z"}', ...),
        (Order, b'{"number": 7, "items": ["a"]}', Order(number=7, items=["a"])),
    ],
)
def test_a_handler_gets_the_value_it_asked_for(
    stage: Stage, kind: Any, raw: bytes, value: Any
) -> None:
    if kind is Click:
        value = Click("/", datetime(2024, 1, 1, tzinfo=UTC))
    assert values_of(stage, kind, raw) == [value]


def test_json_is_the_default(stage: Stage) -> None:
    seen = []

    @stage.app.stream("in")
    def handle(value: Any) -> None:
        seen.append(value)

    stage.write("in", b"[1]")
    stage.work()

    assert seen == [[1]]


@pytest.mark.parametrize("kind", ["bytes", "json", "str", Click, Order], ids=str)
def test_a_tombstone_is_none_for_every_kind_of_value(stage: Stage, kind: Any) -> None:
    assert values_of(stage, kind, None) == [None]


@pytest.mark.parametrize(
    "kind, raw, reason",
    [
        ("json", b"{", "the value is not JSON"),
        ("str", b"\xff", "the value is not UTF-8"),
        (Click, b"{}", "the value is no Click: page: Field required"),
        (Order, b'{"number": "x"}', "the value is no Order: number: "),
        (list[int], b"7", "the value is no list"),
    ],
)
def test_a_value_that_cannot_be_read_is_dead_lettered_with_the_reason(
    stage: Stage, kind: Any, raw: bytes, reason: str
) -> None:
    stage.app.stream("in", value=kind)(lambda value: None)
    stage.write("in", raw, key=b"k")

    with capture_logs() as lines:
        counts = stage.work()

    (line,) = [line for line in lines if line["event"] == "record dead-lettered"]
    assert reason in line["error"]
    assert (counts.done, counts.dead_lettered_records) == (0, 1)
    letter = stage.letter("in.dead")
    assert (letter.record.key, letter.record.value) == (b"k", raw)
    assert reason in letter.death.message


def test_the_neighbours_of_an_unreadable_value_go_on(stage: Stage) -> None:
    assert values_of(stage, "json", b"1", b"{", b"2") == [1, 2]


def test_the_reason_does_not_show_the_value(stage: Stage) -> None:
    stage.app.stream("in", value=Order)(lambda value: None)
    stage.write("in", b'{"number": "secret"}')

    with capture_logs() as lines:
        stage.work()

    assert "secret" not in str(lines)


# Quix's deserializers.


@pytest.fixture
def quix() -> Any:
    """`quixstreams.models`, whose import is slow and warns about a dependency of its own."""
    return pytest.importorskip("quixstreams.models")


def test_a_quix_deserializer_reads_the_value(stage: Stage, quix: Any) -> None:
    assert values_of(stage, quix.IntegerDeserializer(), b"\x00\x00\x00\x07") == [7]


def test_a_quix_deserializer_may_find_several_values(stage: Stage, quix: Any) -> None:
    raw = json.dumps([{"a": 1}, {"a": 2}]).encode()

    class Each(quix.JSONDeserializer):  # type: ignore[misc]
        split_values = True

        def __call__(self, value: bytes, ctx: Any) -> Any:
            return iter(json.loads(value))

    assert values_of(stage, Each(), raw) == [{"a": 1}, {"a": 2}]


def test_each_of_several_values_has_its_output(stage: Stage, quix: Any) -> None:
    class Each(quix.JSONDeserializer):  # type: ignore[misc]
        split_values = True

        def __call__(self, value: bytes, ctx: Any) -> Any:
            return iter(json.loads(value))

    stage.app.stream("in", value=Each(), to="out")(lambda value: value + 1)
    stage.write("in", b"[1, 2]", key=b"k")
    stage.work()

    assert [record.value for record in stage.records("out")] == [b"2", b"3"]


def test_a_quix_deserializer_may_ignore_a_record(stage: Stage, quix: Any) -> None:
    from quixstreams.models.serializers.exceptions import IgnoreMessage

    class Picky(quix.BytesDeserializer):  # type: ignore[misc]
        def __call__(self, value: bytes, ctx: Any) -> Any:
            if value == b"ignore":
                raise IgnoreMessage
            return value

    assert values_of(stage, Picky(), b"a", b"ignore", b"b") == [b"a", b"b"]
    assert sum(stage.committed("in", partition) for partition in range(2)) == 3


def test_what_a_quix_deserializer_cannot_read_is_dead_lettered(stage: Stage, quix: Any) -> None:
    stage.app.stream("in", value=quix.IntegerDeserializer())(lambda value: None)
    stage.write("in", b"seven")

    assert stage.work().dead_lettered_records == 1
    assert stage.letter("in.dead").record.value == b"seven"


# The context.


def test_a_second_parameter_is_the_context(stage: Stage) -> None:
    seen = []

    @stage.app.stream("in", value="bytes")
    def handle(value: bytes, ctx: Context) -> None:
        seen.append((ctx.record.id, ctx.record.key, ctx.attempt, ctx.job))

    stage.write("in", b"", key=b"k", partition=1)
    stage.work()

    assert seen == [("in/1/0", b"k", 1, None)]


def test_a_second_parameter_with_a_default_is_the_context_too(stage: Stage) -> None:
    seen = []

    @stage.app.stream("in", value="bytes")
    def handle(value: bytes, ctx: Context | None = None) -> None:
        seen.append(ctx)

    stage.write("in", b"")
    stage.work()

    assert seen != [None]


def test_without_a_parameter_for_it_the_context_is_there_all_the_same(stage: Stage) -> None:
    @stage.app.stream("in", value="bytes")
    def handle(value: bytes) -> None:
        current_context().emit("out", value)

    stage.write("in", b"a")
    stage.work()

    assert stage.record("out").value == b"a"


# Outputs.


def test_what_a_handler_returns_goes_out_with_the_key_of_its_record(stage: Stage) -> None:
    @stage.app.stream("in", to="out")
    def double(value: int) -> int:
        return value * 2

    stage.write("in", b"7", key=b"k")
    stage.work()

    record = stage.record("out")
    assert (record.key, record.value) == (b"k", b"14")


def test_what_a_coroutine_handler_returns_goes_out_too(stage: Stage) -> None:
    @stage.app.stream("in", to="out")
    async def double(value: int) -> int:
        return value * 2

    stage.write("in", b"7")
    stage.work()

    assert stage.record("out").value == b"14"


def test_none_returned_writes_nothing(stage: Stage) -> None:
    stage.app.stream("in", to="out")(lambda value: None)
    stage.write("in", b"7")
    stage.work()

    assert not stage.records("out")


def test_without_an_output_topic_what_is_returned_is_dropped(stage: Stage) -> None:
    stage.app.stream("in")(lambda value: value)
    stage.write("in", b"7")

    assert stage.work().done == 1


@pytest.mark.parametrize(
    "value, raw",
    [
        (b"\xff", b"\xff"),
        ("text", b"text"),
        (None, None),
        ({"a": 1}, b'{"a":1}'),
        (Click("/"), b'{"page":"/","at":null}'),
        (Order(number=1), b'{"number":1,"items":[]}'),
        (Decimal("1.10"), b'"1.10"'),
        ({"raw": b"\xff"}, b'{"raw":"_w=="}'),
    ],
    ids=repr,
)
def test_emitted_values_are_bytes_text_or_json(stage: Stage, value: Any, raw: bytes) -> None:
    @stage.app.stream("in", value="bytes")
    def handle(_: bytes, ctx: Context) -> None:
        ctx.emit("out", value)

    stage.write("in", b"")
    stage.work()

    assert stage.record("out").value == raw


def test_emit_takes_another_key_and_headers(stage: Stage) -> None:
    @stage.app.stream("in", value="bytes")
    def handle(_: bytes, ctx: Context) -> None:
        ctx.emit("out", b"", key=7, headers={"kind": "a", "raw": b"\xff"})

    stage.write("in", b"", key=b"k")
    stage.work()

    record = stage.record("out")
    assert record.key == b"7"
    assert list(record.headers) == [("kind", b"a"), ("raw", b"\xff")]


def test_emit_can_leave_the_key_out(stage: Stage) -> None:
    @stage.app.stream("in", value="bytes")
    def handle(_: bytes, ctx: Context) -> None:
        ctx.emit("out", b"", key=None)

    stage.write("in", b"", key=b"k")
    stage.work()

    assert stage.record("out").key is None


def test_what_a_key_emits_keeps_its_order(stage: Stage) -> None:
    @stage.app.stream("in", value="bytes")
    def handle(value: bytes, ctx: Context) -> None:
        ctx.emit("out", value + b"a")
        ctx.emit("out", value + b"b")

    for number in range(20):
        stage.write("in", b"%d" % number, key=b"k")
    stage.work()

    expected = [b"%d%s" % (number, part) for number in range(20) for part in (b"a", b"b")]
    assert [record.value for record in stage.records("out")] == expected


def test_what_a_failed_attempt_emitted_is_not_written(stage: Stage) -> None:
    @stage.app.stream("in", value="bytes")
    def handle(_: bytes, ctx: Context) -> None:
        ctx.emit("out", f"attempt {ctx.attempt}")
        if ctx.attempt == 1:
            raise ConnectionError

    stage.write("in", b"")
    stage.work()

    assert stage.record("out").value == b"attempt 2"


def test_a_record_is_complete_when_what_it_emitted_is_acknowledged(stage: Stage) -> None:
    @stage.app.stream("in", value="bytes", to="out")
    def handle(value: bytes) -> bytes:
        return value

    stage.broker.faults.sends_refused = 1
    stage.write("in", b"a", partition=0)
    stage.work()

    assert stage.record("out").value == b"a"
    assert stage.committed("in") == 1


def test_a_record_too_large_fails_its_attempt_and_no_other(stage: Stage) -> None:
    errors = []

    @stage.app.stream("in", value="bytes")
    def handle(value: bytes, ctx: Context) -> None:
        if value == b"large" and ctx.attempt == 1:
            ctx.emit("out", b"x" * 1_000_001)
        ctx.emit("out", value)

    stage.write("in", b"large", key=b"a", partition=0)
    stage.write("in", b"small", key=b"b", partition=0)
    with capture_logs() as lines:
        counts = stage.work()

    errors = [line["error"] for line in lines if line["event"].startswith("attempt failed")]
    assert len(errors) == 1
    assert "message.max.bytes" in errors[0]
    assert (counts.done, counts.failed_attempts) == (2, 1)
    assert {record.value for record in stage.records("out")} == {b"large", b"small"}


def test_a_value_without_a_json_form_fails_its_attempt(stage: Stage) -> None:
    @stage.app.stream("in", value="bytes")
    def handle(_: bytes, ctx: Context) -> None:
        if ctx.attempt == 1:
            ctx.emit("out", {"a": object()})

    stage.write("in", b"")
    with capture_logs() as lines:
        stage.work()

    assert [line["error"] for line in lines if "error" in line] == [
        "TypeError: a value of type dict cannot be written as JSON: "
        "Unable to serialize unknown type: <class 'object'>"
    ]


# Topics.


def test_the_topics_of_an_app_are_created_when_it_runs() -> None:
    with Stage({}, partitions=3) as stage:
        stage.app.stream("clicks", to="pages")(lambda value: value)
        stage.work()

        assert stage.cluster.topics() == {"clicks": 3, "pages": 3}


def test_a_topic_that_is_emitted_to_is_created_when_it_is_missing(stage: Stage) -> None:
    @stage.app.stream("in", value="bytes")
    def handle(value: bytes, ctx: Context) -> None:
        ctx.emit("new", value)

    stage.write("in", b"a")
    stage.work()

    assert stage.record("new").value == b"a"


# Order.


def test_a_partitioner_gives_foreign_records_their_order(stage: Stage) -> None:
    order: list[bytes] = []

    def first_letter(record: Record) -> bytes:
        return (record.value or b"")[:1]

    @stage.app.stream(
        "in", value="bytes", virtual_partitions=VirtualPartitions(64, partitioner=first_letter)
    )
    def handle(value: bytes) -> None:
        order.append(value)

    for number in range(50):
        stage.write("in", b"a%d" % number, partition=0)
    stage.work()

    assert order == [b"a%d" % number for number in range(50)]


def test_a_partitioner_that_raises_fails_its_record_alone(stage: Stage) -> None:
    def picky(record: Record) -> bytes | None:
        if record.value == b"bad":
            raise ValueError("no such thing")
        return record.key

    policy = VirtualPartitions(partitioner=picky)
    stage.app.stream("in", value="bytes", virtual_partitions=policy)(lambda value: None)
    for value in (b"good", b"bad", b"good"):
        stage.write("in", value, partition=0)
    with capture_logs() as lines:
        counts = stage.work()

    assert (counts.done, counts.dead_lettered_records) == (2, 1)
    assert [line["offset"] for line in lines if line["event"] == "record dead-lettered"] == [1]
    letter = stage.letter("in.dead")
    assert (letter.record.value, letter.death.attempts) == (b"bad", 0)
    assert "the partitioner raised ValueError: no such thing" in letter.death.message
    assert stage.committed("in") == 3
