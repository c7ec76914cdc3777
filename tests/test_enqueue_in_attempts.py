"""What a handler enqueues belongs to its attempt: written when that succeeds, and never else."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamjobs import App, Context, Retry, current_context, headers
from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.errors import ConfigurationError, DeliveryError, TopicError
from streamjobs.jobs import Job
from streamjobs.partitioning import partition_for
from streamjobs.receipts import Receipt, Receipts
from streamjobs.testing import TestDriver
from streamjobs.testing.simulation import simulate
from tests.support.apps import Stage

AT_ONCE_AGAIN = Retry(attempts=2, wait=0.01)


@pytest.fixture(params=["at-least-once", "exactly-once"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with Stage({"one": 1, "more": 4}, guarantee=request.param, retry=AT_ONCE_AGAIN) as stage:
        yield stage


def job_on(app: App, topic: str = "more", **options: Any) -> Job[[int], None]:
    """Something to enqueue, that nobody runs."""

    def later(number: int) -> None: ...

    return app.job(topic=topic, **options)(later)


def handle(stage: Stage, handler: Callable[[str, Context], object], *values: bytes) -> None:
    """Let the app work on these records of topic "one"."""
    stage.app.stream("one", value="str")(handler)
    for value in values or (b"x",):
        stage.write("one", value, key=b"k")
    with capture_logs():
        stage.work()


# With the attempt or not at all.


def test_an_attempt_that_fails_enqueues_nothing(stage: Stage) -> None:
    later = job_on(stage.app)

    def handler(_: str, ctx: Context) -> None:
        later.enqueue(ctx.attempt)
        if ctx.attempt == 1:
            raise ConnectionError

    handle(stage, handler)

    (record,) = stage.records("more")
    assert b'"args":[],"kwargs":{"number":2}' in (record.value or b"")


def test_it_is_written_between_what_is_emitted_before_and_behind_it(stage: Stage) -> None:
    later = job_on(stage.app, "line")

    def handler(_: str, ctx: Context) -> None:
        ctx.emit("line", "before")
        later.enqueue(1)
        ctx.emit("line", "between")
        later.enqueue_many([(2,), (3,)])

    handle(stage, handler)

    kinds = [record.header(headers.JOB) or record.value for record in stage.records("line")]
    assert kinds == [b"before", b"later", b"between", b"later", b"later"]


def test_an_aborted_transaction_takes_it_back() -> None:
    with Stage({"one": 1, "more": 1}, guarantee="exactly-once") as stage:
        later = job_on(stage.app)
        ran = []

        def handler(value: str, _ctx: Context) -> None:
            ran.append(value)
            later.enqueue(7)
            stage.broker.faults.transactions_refused = len(ran) == 1

        handle(stage, handler)

        assert len(ran) == 2
        assert len(stage.records("more")) == 1


def test_a_record_does_not_count_as_complete_before_what_it_enqueued_has_arrived() -> None:
    app = App("chain")
    later = job_on(app, "elsewhere")

    @app.stream("one", value="str")
    def first(_: str) -> None:
        later.enqueue(1)

    with TestDriver(app) as driver:
        driver.send("one", "x")
        driver.run_until_quiet()
        driver.restart(crash=True)  # nobody knows yet that it has arrived
        driver.run_until_idle()
        driver.check()

        assert len(driver.outputs("elsewhere")) == 2


@pytest.mark.parametrize("guarantee", ["at-least-once", "exactly-once"])
def test_chains_of_jobs_keep_their_promises_through_every_fault(guarantee: Any) -> None:
    app = App("chain", guarantee=guarantee)

    @app.job(topic="firsts", key="account")
    def first(account: str, number: int) -> None:
        second.enqueue(account, number)

    @app.job(topic="seconds", key="account")
    def second(account: str, number: int) -> None: ...

    simulate(
        app,
        workload=lambda dice: [first.enqueue(dice.choice("ab"), n) for n in range(20)],
        seeds=range(15),
    )


def test_a_coroutine_handler_enqueues_with_its_attempt(stage: Stage) -> None:
    later = job_on(stage.app)

    @stage.app.job(topic="one", key="number")
    async def first(number: int) -> None:
        await asyncio.sleep(0)
        later.enqueue(number)
        if current_context().attempt == 1:
            raise ConnectionError

    first.enqueue(1)
    with capture_logs():
        stage.work()

    assert len(stage.records("more")) == 1


# Where it goes.


def test_a_key_that_picks_the_partition_does_so_inside_of_an_attempt(stage: Stage) -> None:
    later = job_on(
        stage.app,
        partitioner=lambda call: call.arguments["number"],
        partition_key_type="partition_key",
    )

    handle(stage, lambda _value, _ctx: later.enqueue(7))

    record = stage.record("more")
    assert record.partition == partition_for(b"7", 4)
    assert (record.key, record.header(headers.ORDERING_KEY)) == (None, b"7")


def test_a_partition_that_the_caller_picks_is_that_one_inside_of_an_attempt(stage: Stage) -> None:
    later = job_on(stage.app, partitioner=lambda call: 3, partition_key_type="partition")

    handle(stage, lambda _value, _ctx: later.enqueue(7))

    assert stage.record("more").partition == 3


def test_its_topic_is_made_where_it_is_missing(stage: Stage) -> None:
    later = job_on(stage.app, "new")
    del stage.app.topics["new"]  # as if another app read it

    handle(stage, lambda _value, _ctx: later.enqueue(7))

    assert len(stage.records("new")) == 1


def test_a_topic_that_may_not_be_made_fails_the_attempt() -> None:
    with Stage({"one": 1, "one.dead": 1}, topics="require", retry=AT_ONCE_AGAIN) as stage:
        later = job_on(stage.app, "new")
        del stage.app.topics["new"]

        handle(stage, lambda _value, _ctx: later.enqueue(7))

        assert stage.letter("one.dead").death.error.endswith(TopicError.__name__)


def test_one_that_is_too_large_is_refused_to_the_handler(stage: Stage) -> None:
    refusals: list[Exception] = []

    def later(text: str) -> None: ...

    large = stage.app.job(topic="more")(later)

    def handler(_value: str, _ctx: Context) -> None:
        try:
            large.enqueue("x" * 1_000_000)
        except DeliveryError as error:
            refusals.append(error)

    handle(stage, handler)

    assert "larger than what it takes" in str(refusals[0])
    assert not stage.records("more")


# Receipts.


def test_nobody_can_wait_for_it_and_it_says_why(stage: Stage) -> None:
    later = job_on(stage.app)
    receipts: list[Receipt | Receipts] = []

    def handler(_value: str, _ctx: Context) -> None:
        for receipt in (later.enqueue(1), later.enqueue_many([(2,)])):
            receipts.append(receipt)
            with pytest.raises(ConfigurationError, match="written when the attempt has succeeded"):
                receipt.wait()

    handle(stage, handler)

    for receipt in receipts:
        with pytest.raises(ConfigurationError, match="written when the attempt has succeeded"):
            receipt.wait()
    assert len(stage.records("more")) == 2


def test_to_await_it_in_its_attempt_is_refused_and_does_not_hang(stage: Stage) -> None:
    later = job_on(stage.app)
    refusals: list[Exception] = []

    @stage.app.job(topic="one")
    async def first() -> None:
        for receipt in (later.enqueue(1), later.enqueue_many([(2,)])):
            try:
                await receipt
            except ConfigurationError as error:
                refusals.append(error)

    first.enqueue()
    stage.work()

    assert len(refusals) == 2


def test_its_id_is_that_of_the_record(stage: Stage) -> None:
    later = job_on(stage.app)
    receipts: list[Receipt] = []

    handle(stage, lambda _value, _ctx: receipts.append(later.enqueue(7)))

    assert stage.record("more").header(headers.ID) == receipts[0].id.encode()
    assert not receipts[0].done


# What is written at once.


def test_a_thread_of_the_handlers_own_enqueues_at_once(stage: Stage) -> None:
    later = job_on(stage.app)

    def handler(_value: str, ctx: Context) -> None:
        if ctx.attempt == 1:
            positions: list[Any] = []
            thread = threading.Thread(target=lambda: positions.append(later.enqueue(1).wait(10)))
            thread.start()
            thread.join()
            assert positions
            raise ConnectionError

    handle(stage, handler)

    assert len(stage.records("more")) == 1


def test_what_outlives_its_attempt_enqueues_at_once(stage: Stage) -> None:
    later = job_on(stage.app)
    ended = threading.Event()
    left: list[asyncio.Task[None]] = []

    async def leftover() -> None:
        await asyncio.to_thread(ended.wait, 10)
        later.enqueue(1)

    @stage.app.job(topic="one", key="number", virtual_partitions=1)
    async def first(number: int) -> None:
        if number == 0:
            left.append(asyncio.create_task(leftover()))
        else:
            ended.set()
            await left[0]

    first.enqueue(0).wait(10)
    threading.Timer(0.3, lambda: first.enqueue(1)).start()
    stage_runs_until(stage, lambda: bool(stage.records("more")))

    assert len(stage.records("more")) == 1


def stage_runs_until(stage: Stage, condition: Callable[[], bool]) -> None:
    def watch() -> None:
        for _ in range(500):
            if condition():
                break
            threading.Event().wait(0.02)
        stage.app.stop()

    threading.Thread(target=watch).start()
    stage.app.run()


# Jobs of other apps.


def test_a_job_of_another_app_on_the_same_broker_goes_with_the_attempt(stage: Stage) -> None:
    other = App("other", broker=stage.broker)
    later = job_on(other)

    def handler(_value: str, ctx: Context) -> None:
        later.enqueue(ctx.attempt)
        if ctx.attempt == 1:
            raise ConnectionError

    handle(stage, handler)
    other.close()

    assert len(stage.records("more")) == 1


def test_a_job_of_an_app_on_another_broker_is_written_there_at_once(stage: Stage) -> None:
    elsewhere = MemoryCluster({"more": 1})
    other = App("other", broker=MemoryBroker(elsewhere))
    later = job_on(other)

    def handler(_value: str, ctx: Context) -> None:
        later.enqueue(ctx.attempt)
        if ctx.attempt == 1:
            raise ConnectionError

    handle(stage, handler)
    other.close()

    assert len(elsewhere.log("more", 0).records) == 2
    assert not stage.records("more")


def test_two_apps_share_a_broker_if_address_and_connection_are_the_same() -> None:
    one = App("one", broker="kafka:9092", connection={"sasl.username": "ada"})
    same = App("same", broker="kafka:9092", connection={"sasl.username": "ada"})
    another_user = App("another", broker="kafka:9092", connection={"sasl.username": "bob"})
    another_place = App("place", broker="other:9092", connection={"sasl.username": "ada"})

    assert one.shares_broker_with(same)
    assert not one.shares_broker_with(another_user)
    assert not one.shares_broker_with(another_place)
