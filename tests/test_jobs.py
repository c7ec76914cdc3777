"""Jobs: enqueued, placed on partitions, and run by a worker."""

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamjobs import VirtualPartitions, current_context, headers
from streamjobs.calls import JobCall
from streamjobs.errors import ConfigurationError, DeliveryError, InvalidArgumentsError, TopicError
from streamjobs.partitioning import partition_for
from tests.support.apps import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage({"jobs": 4, "one": 1}) as stage:
        yield stage


def user_id(call: JobCall) -> Any:
    return call.arguments["user_id"]


# The function stays a function.


def test_a_job_can_be_called_as_before(stage: Stage) -> None:
    @stage.app.job(topic="jobs")
    def add(a: int, b: int = 1) -> int:
        """Adds."""
        return a + b

    assert add(1, b=2) == 3
    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert not stage.records("jobs")


def test_a_coroutine_job_can_be_awaited_as_before(stage: Stage) -> None:
    @stage.app.job(topic="jobs")
    async def add(a: int) -> int:
        return a + 1

    assert asyncio.run(add(1)) == 2


# Enqueueing.


def test_a_worker_calls_the_function_with_the_arguments(stage: Stage) -> None:
    calls = []

    @stage.app.job(topic="jobs")
    def update(user_id: int, attributes: dict[str, str]) -> None:
        calls.append((user_id, attributes))

    update.enqueue(7, {"name": "Ada"})
    counts = stage.work()

    assert calls == [(7, {"name": "Ada"})]
    assert counts.done == 1


def test_the_receipt_says_where_the_record_stands(stage: Stage) -> None:
    @stage.app.job(topic="one")
    def tick() -> None: ...

    first, second = tick.enqueue(), tick.enqueue()

    assert first.wait(10) == ("one", 0, 0)
    assert second.wait(10) == ("one", 0, 1)


def test_the_receipt_can_be_awaited(stage: Stage) -> None:
    @stage.app.job(topic="one")
    def tick() -> None: ...

    async def enqueue() -> int:
        return (await tick.enqueue()).offset

    assert asyncio.run(enqueue()) == 0


def test_a_record_that_the_broker_refused_is_an_error_of_the_receipt(stage: Stage) -> None:
    @stage.app.job(topic="one")
    def tick() -> None: ...

    stage.broker.faults.sends_refused = 1

    with pytest.raises(DeliveryError, match="refused"):
        tick.enqueue().wait(10)


def test_the_id_of_the_receipt_is_that_of_the_record_and_of_the_attempt(stage: Stage) -> None:
    seen = []

    @stage.app.job(topic="one")
    def tick() -> None:
        call = current_context().job
        assert call is not None
        seen.append(call.id)

    receipt = tick.enqueue()
    receipt.wait(10)
    record = stage.record("one")
    stage.work()

    assert record.header(headers.ID) == receipt.id.encode()
    assert seen == [receipt.id]


def test_the_record_names_its_job_in_a_header(stage: Stage) -> None:
    @stage.app.job(topic="one", name="accounts.tick")
    def tick() -> None: ...

    tick.enqueue().wait(10)

    assert stage.record("one").header(headers.JOB) == b"accounts.tick"


def test_the_attempt_is_told_its_arguments_and_the_defaults(stage: Stage) -> None:
    seen = []

    @stage.app.job(topic="one")
    def tick(a: int, b: int = 2) -> None:
        seen.append(current_context().job)

    tick.enqueue(1)
    stage.work()

    (call,) = seen
    assert call is not None
    assert (call.name, call.arguments) == ("tick", {"a": 1, "b": 2})


@pytest.mark.parametrize(
    "args, kwargs, parameter",
    [((), {}, "user_id"), (("7",), {}, "user_id"), ((7,), {"colour": 1}, "colour")],
)
def test_a_call_that_does_not_fit_names_the_parameter_and_sends_nothing(
    stage: Stage, args: tuple[Any, ...], kwargs: dict[str, Any], parameter: str
) -> None:
    @stage.app.job(topic="jobs")
    def update(user_id: int) -> None: ...

    with pytest.raises(InvalidArgumentsError, match=parameter):
        update.enqueue(*args, **kwargs)

    stage.app.close()
    assert not stage.records("jobs")


def test_a_partitioner_that_raises_sends_nothing(stage: Stage) -> None:
    @stage.app.job(topic="jobs", partitioner=lambda call: call.arguments["no such"])
    def update(user_id: int) -> None: ...

    with pytest.raises(KeyError):
        update.enqueue(7)

    stage.app.close()
    assert not stage.records("jobs")


def test_a_missing_topic_is_created(stage: Stage) -> None:
    @stage.app.job(topic="new")
    def tick() -> None: ...

    tick.enqueue().wait(10)

    assert stage.cluster.topics()["new"] == 1


def test_a_missing_topic_is_refused_where_topics_are_required() -> None:
    with Stage({}, topics="require") as stage:

        @stage.app.job(topic="new")
        def tick() -> None: ...

        with pytest.raises(TopicError, match="new"):
            tick.enqueue()


def test_wait_inside_of_an_attempt_is_refused(stage: Stage) -> None:
    refusals: list[str] = []

    @stage.app.job(topic="one")
    def first() -> None:
        try:
            receipt.wait()
        except ConfigurationError as error:
            refusals.append(str(error))

    @stage.app.job(topic="jobs")
    def second() -> None: ...

    receipt = second.enqueue()
    first.enqueue()
    stage.work()

    assert len(refusals) == 1
    assert "would block a worker" in refusals[0]


def test_what_an_attempt_enqueues_carries_its_trace_on(stage: Stage) -> None:
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @stage.app.job(topic="one")
    def first() -> None:
        second.enqueue()

    @stage.app.job(topic="jobs")
    def second() -> None: ...

    stage.write("one", b'{"job":"first"}', headers=[(headers.TRACEPARENT, trace)])
    stage.work()

    assert stage.record("jobs").header(headers.TRACEPARENT) == trace


# Many at once.


def test_many_calls_are_sent_in_their_order(stage: Stage) -> None:
    calls = []

    @stage.app.job(topic="one", key=lambda call: "same")
    def update(user_id: int, name: str = "") -> None:
        calls.append((user_id, name))

    receipts = update.enqueue_many([update.arguments(1, name="a"), (2, "b"), {"user_id": 3}])
    positions = receipts.wait(10)
    stage.work()

    assert [position.offset for position in positions] == [0, 1, 2]
    assert calls == [(1, "a"), (2, "b"), (3, "")]


def test_of_many_calls_none_is_sent_when_one_does_not_fit(stage: Stage) -> None:
    @stage.app.job(topic="jobs")
    def update(user_id: int) -> None: ...

    with pytest.raises(InvalidArgumentsError, match=r"call 2: .*user_id"):
        update.enqueue_many([(1,), (2,), ("3",), (4,)])

    stage.app.close()
    assert not stage.records("jobs")


def test_of_many_calls_one_of_a_strange_form_says_what_is_taken(stage: Stage) -> None:
    @stage.app.job(topic="jobs")
    def update(user_id: int) -> None: ...

    with pytest.raises(InvalidArgumentsError, match=r"call 0: .*tuples or mappings, not int"):
        update.enqueue_many([7])  # type: ignore[list-item]


# Where a record goes.


def test_without_a_key_a_record_has_none(stage: Stage) -> None:
    @stage.app.job(topic="jobs")
    def update(user_id: int) -> None: ...

    update.enqueue(7).wait(10)

    record = stage.record("jobs")
    assert (record.key, record.header(headers.ORDERING_KEY)) == (None, None)


def test_a_parameters_name_makes_it_the_message_key(stage: Stage) -> None:
    @stage.app.job(topic="jobs", key="user_id")
    def update(user_id: int) -> None: ...

    update.enqueue(7).wait(10)

    record = stage.record("jobs")
    assert (record.key, record.partition) == (b"7", partition_for(b"7", 4))
    assert record.header(headers.ORDERING_KEY) is None


def test_a_parameters_default_is_a_key_too(stage: Stage) -> None:
    @stage.app.job(topic="jobs", key="user_id")
    def update(user_id: int = 9) -> None: ...

    update.enqueue().wait(10)

    assert stage.record("jobs").key == b"9"


def test_by_type_key_the_partitioners_result_is_the_message_key(stage: Stage) -> None:
    @stage.app.job(topic="jobs", partitioner=user_id, partition_key_type="key")
    def update(user_id: int) -> None: ...

    update.enqueue(7).wait(10)

    assert stage.record("jobs").key == b"7"


def test_by_type_partition_key_the_result_picks_the_partition_and_is_the_order(
    stage: Stage,
) -> None:
    @stage.app.job(topic="jobs", partitioner=user_id, partition_key_type="partition_key")
    def update(user_id: int) -> None: ...

    update.enqueue(7).wait(10)

    record = stage.record("jobs")
    assert record.key is None
    assert record.header(headers.ORDERING_KEY) == b"7"
    assert record.partition == partition_for(b"7", 4)


def test_beside_a_partition_key_the_message_key_is_free(stage: Stage) -> None:
    @stage.app.job(
        topic="jobs", partitioner=user_id, partition_key_type="partition_key", key="city"
    )
    def update(user_id: int, city: str) -> None: ...

    update.enqueue(7, "Bern").wait(10)

    record = stage.record("jobs")
    assert (record.key, record.header(headers.ORDERING_KEY)) == (b"Bern", b"7")
    assert record.partition == partition_for(b"7", 4)


def test_by_type_partition_the_result_is_the_partitions_number(stage: Stage) -> None:
    @stage.app.job(topic="jobs", partitioner=user_id, partition_key_type="partition")
    def update(user_id: int) -> None: ...

    update.enqueue(3).wait(10)

    record = stage.record("jobs")
    assert (record.partition, record.key) == (3, None)


def test_by_type_partition_the_whole_partition_is_one_order(stage: Stage) -> None:
    order: list[int] = []

    @stage.app.job(topic="jobs", partitioner=lambda call: 1, partition_key_type="partition")
    def update(number: int) -> None:
        order.append(number)

    update.enqueue_many([(number,) for number in range(50)])
    stage.work()

    assert order == list(range(50))


def test_by_type_partition_a_message_key_is_the_order(stage: Stage) -> None:
    @stage.app.job(
        topic="jobs", partitioner=lambda call: 1, partition_key_type="partition", key="user_id"
    )
    def update(user_id: int) -> None: ...

    update.enqueue(7).wait(10)

    record = stage.record("jobs")
    assert (record.partition, record.key) == (1, b"7")
    assert record.header(headers.ORDERING_KEY) in (None, b"7")


@pytest.mark.parametrize("result", [4, -1, "1", True, None, 1.0])
def test_what_is_no_number_of_a_partition_is_refused(stage: Stage, result: object) -> None:
    @stage.app.job(topic="jobs", partitioner=lambda call: result, partition_key_type="partition")
    def update() -> None: ...

    with pytest.raises(InvalidArgumentsError, match="from 0 to 3"):
        update.enqueue()

    stage.app.close()
    assert not stage.records("jobs")


@pytest.mark.parametrize("kind", ["key", "partition_key"])
def test_a_partitioner_that_returns_none_asks_for_no_order(stage: Stage, kind: Any) -> None:
    @stage.app.job(topic="jobs", partitioner=lambda call: None, partition_key_type=kind)
    def update() -> None: ...

    update.enqueue().wait(10)

    record = stage.record("jobs")
    assert (record.key, record.header(headers.ORDERING_KEY)) == (None, None)


# Order.


@pytest.mark.parametrize("kind", ["key", "partition_key"])
def test_the_calls_of_one_key_run_one_after_another_in_their_order(stage: Stage, kind: Any) -> None:
    order: dict[int, list[int]] = defaultdict(list)

    @stage.app.job(topic="jobs", partitioner=user_id, partition_key_type=kind)
    def update(user_id: int, number: int) -> None:
        order[user_id].append(number)

    update.enqueue_many([(number % 7, number) for number in range(200)])
    stage.work()

    assert order == {user: list(range(user, 200, 7)) for user in range(7)}


def test_different_keys_run_at_the_same_time(stage: Stage) -> None:
    together = threading.Barrier(4, timeout=10)

    @stage.app.job(topic="one", key="user_id", virtual_partitions=VirtualPartitions(256))
    def update(user_id: int) -> None:
        together.wait()

    update.enqueue_many([(user,) for user in range(4)])

    assert stage.work().done == 4


def test_plain_and_coroutine_jobs_of_one_topic_keep_the_order_of_a_key(stage: Stage) -> None:
    order: list[int] = []

    @stage.app.job(topic="one", key="user_id")
    def plain(user_id: int, number: int) -> None:
        order.append(number)

    @stage.app.job(topic="one", key="user_id")
    async def coroutine(user_id: int, number: int) -> None:
        await asyncio.sleep(0.001)
        order.append(number)

    for number in range(40):
        (plain if number % 2 else coroutine).enqueue(7, number)
    stage.work()

    assert order == list(range(40))


def test_a_coroutine_job_beside_a_plain_one_has_its_context(stage: Stage) -> None:
    seen = []

    @stage.app.job(topic="one")
    def plain() -> None: ...

    @stage.app.job(topic="one")
    async def coroutine() -> None:
        await asyncio.sleep(0)
        seen.append(current_context().record.offset)

    plain.enqueue().wait(10)
    coroutine.enqueue()
    stage.work()

    assert seen == [1]


def test_a_failing_call_holds_back_its_own_key_only(stage: Stage) -> None:
    order: list[tuple[int, int]] = []

    @stage.app.job(topic="one", key="user_id")
    def update(user_id: int, number: int) -> None:
        if (user_id, number) == (1, 0) and current_context().attempt == 1:
            raise ConnectionError("once")
        order.append((user_id, number))

    update.enqueue_many([(1, 0), (1, 1), (2, 0), (2, 1)])
    counts = stage.work()

    assert order == [(2, 0), (2, 1), (1, 0), (1, 1)]
    assert (counts.done, counts.failed_attempts) == (4, 1)


# Records that no job can run.


@pytest.mark.parametrize(
    "value, reason",
    [
        (b'{"job":"upgrade"}', "there is no job 'upgrade' here; known are update"),
        (b'{"job":"update","args":["x"]}', "arguments of 'update': user_id: "),
        (b"not JSON", "the value is not JSON"),
        (None, "a tombstone"),
    ],
)
def test_what_cannot_be_decoded_is_dead_lettered_with_the_reason_while_its_neighbours_go_on(
    stage: Stage, value: bytes | None, reason: str
) -> None:
    seen = []

    @stage.app.job(topic="one")
    def update(user_id: int) -> None:
        seen.append(user_id)

    stage.write("one", b'{"job":"update","args":[1]}', key=b"a")
    stage.write("one", value, key=b"a")
    stage.write("one", b'{"job":"update","args":[2]}', key=b"a")
    with capture_logs() as lines:
        counts = stage.work()

    (line,) = [line for line in lines if line["event"] == "record dead-lettered"]
    assert (line["topic"], line["partition"], line["offset"]) == ("one", 0, 1)
    assert reason in line["error"]
    letter = stage.letter("one.dead")
    assert (letter.record.id, letter.record.value) == ("one/0/1", value)
    assert reason in letter.death.message
    assert seen == [1, 2]
    assert (counts.done, counts.dead_lettered_records) == (2, 1)
    assert stage.committed("one") == 3


def test_a_plain_job_that_returns_a_coroutine_does_not_count_as_done(stage: Stage) -> None:
    ran = []

    async def hidden() -> None: ...

    @stage.app.job(topic="one")
    def update() -> Any:
        if current_context().attempt == 1:
            return hidden()
        return ran.append(1)

    update.enqueue()
    with capture_logs() as lines:
        stage.work()

    (line,) = [line for line in lines if line["event"].startswith("attempt failed")]
    assert "async def" in line["error"]
    assert ran == [1]


def test_json_arguments_are_checked_like_a_record(stage: Stage) -> None:
    @stage.app.job(topic="one")
    def update(user_id: int, raw: bytes) -> None: ...

    update.enqueue_json({"user_id": 7, "raw": "_w=="}).wait(10)

    body = json.loads(stage.record("one").value or b"")
    assert body["kwargs"] == {"user_id": 7, "raw": "_w=="}
