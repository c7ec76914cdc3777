"""A parallel stage: calls for different keys at the same time, and all else as on one thread."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quixstreams.dataframe import StreamingDataFrame

from streamjobs import App, Context, Retry, exponential
from streamjobs.pipelines import parallel
from streamjobs.testing import TestDriver
from streamjobs.testing.guarantees import KeyOrder, KeySerial, NoLoss
from tests.support.apps import Stage

KEYS = ("a", "b", "c")

ONCE = Retry(attempts=1)
AGAIN = Retry(attempts=5, wait=exponential(first=1, maximum=1))


async def twice_async(value: int) -> int:
    await asyncio.sleep(0.01)
    return value * 2


def twice(value: int) -> int:
    return value * 2


def build(app: App, handler: Callable[..., Any], **options: Any) -> None:
    """Values that are not negative, through a parallel stage, into a count and a sum per key."""

    @app.pipeline("in", **options)
    def pipeline(sdf: StreamingDataFrame) -> None:
        def add(value: Any, state: Any) -> list[Any]:
            state.set("seen", [*state.get("seen", []), value])
            return list(state.get("seen"))

        behind = parallel(sdf.filter(lambda value: value >= 0), handler)
        behind.apply(add, stateful=True).to_topic(app.topic("out"))


def seen(driver: TestDriver, key: str) -> list[Any]:
    """What the operator behind the stage got of a key: its last state."""
    of_key = [each.json() for each in driver.outputs("out") if each.key == key.encode()]
    assert of_key == [of_key[-1][: n + 1] for n in range(len(of_key))]
    return list(of_key[-1])


def learn_that_it_is_fast(driver: TestDriver) -> None:
    """Then several records go into one slice."""
    for _ in range(10):
        driver.send("in", 9, key="z")
        driver.run_until_idle()


@pytest.mark.parametrize("count", [1, 8, 64])
@pytest.mark.parametrize("handler", [twice, twice_async])
def test_values_of_a_key_come_out_in_their_order(
    app: App, handler: Callable[..., Any], count: int
) -> None:
    build(app, handler, virtual_partitions=count)

    with TestDriver(app) as driver:
        for value in range(30):
            driver.send("in", value - 3, key=KEYS[value % 3])
        driver.run_until_idle()

        for place, key in enumerate(KEYS):
            assert seen(driver, key) == [2 * n for n in range(place, 27, 3)]
        driver.check(KeyOrder(), KeySerial(), NoLoss())


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_different_keys_are_handled_at_the_same_time(kind: str, tmp_path: Path) -> None:
    together = threading.Barrier(3)

    def meet(value: int) -> int:
        together.wait(20)
        return value

    met: list[int] = []

    async def meet_async(value: int) -> int:
        met.append(value)
        while len(met) < 3:
            await asyncio.sleep(0.001)
        return value

    with Stage({"in": 1, "out": 1}, state_dir=str(tmp_path)) as stage:
        build(stage.app, meet if kind == "threads" else meet_async, virtual_partitions=64)
        for place, key in enumerate(KEYS):
            stage.write("in", b"%d" % place, key.encode())

        stage.work()

        assert len(stage.records("out")) == 3


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_a_call_that_fails_is_tried_again_and_holds_back_its_key_alone(app: App, kind: str) -> None:
    calls: list[int] = []

    def stumble(value: int) -> int:
        calls.append(value)
        if value == 3 and calls.count(3) < 3:
            raise ConnectionError("later")
        return value

    async def stumble_async(value: int) -> int:
        return stumble(value)

    build(app, stumble if kind == "threads" else stumble_async, retry=AGAIN)

    with TestDriver(app, on_error="retry") as driver:
        for value in range(12):
            driver.send("in", value, key=KEYS[value % 3])
        driver.run_until_idle()

        assert seen(driver, "a") == [0, 3, 6, 9]
        assert calls.count(3) == 3
        assert calls.index(11) < len(calls) - 1 - calls[::-1].index(3)
        driver.check(KeyOrder(), KeySerial(), NoLoss())


def test_a_call_that_goes_on_failing_is_dead_lettered_alone(app: App) -> None:
    def stumble(value: int) -> int:
        return 10 // value

    build(app, stumble, retry=ONCE)

    with TestDriver(app, on_error="retry") as driver:
        for value in (5, 0, 2, 1):
            driver.send("in", value, key="a")
        driver.run_until_idle()

        assert seen(driver, "a") == [2, 5, 10]
        assert [letter.record.value for letter in driver.dead_letters()] == [b"0"]


def test_what_fails_behind_the_stage_fails_the_record_and_takes_back_what_the_call_did(
    app: App,
) -> None:
    def call(value: int, ctx: Context) -> int:
        ctx.emit("side", {"value": value})
        return value

    @app.pipeline("in", retry=ONCE)
    def pipeline(sdf: StreamingDataFrame) -> None:
        def add(value: int, state: Any) -> int:
            state.set("sum", state.get("sum", 0) + value)
            return 12 // value + state.get("sum")

        parallel(sdf, call).apply(add, stateful=True).to_topic(app.topic("out"))

    with TestDriver(app, on_error="retry") as driver:
        for value in (4, 0, 3):
            driver.send("in", value, key="a")
        driver.run_until_idle()

        assert [each.json() for each in driver.outputs("out")] == [7, 11]
        assert [each.json()["value"] for each in driver.outputs("side")] == [4, 3]
        assert [letter.record.value for letter in driver.dead_letters()] == [b"0"]


def test_a_failure_behind_the_stage_goes_before_one_of_the_next_call_of_its_key(app: App) -> None:
    """Both are in one slice: the call of the second record fails before what is behind the stage
    has seen the first.
    """
    attempts: list[str] = []

    def call(value: int) -> int:
        attempts.append(f"call {value}")
        if value == 2 and attempts.count("call 2") < 2:
            raise ConnectionError("the call")
        return value

    @app.pipeline("in", retry=AGAIN, virtual_partitions=1)
    def pipeline(sdf: StreamingDataFrame) -> None:
        def check(value: int) -> None:
            attempts.append(f"behind {value}")
            if value == 1 and attempts.count("behind 1") < 3:
                raise ConnectionError("behind it")

        parallel(sdf, call).update(check).to_topic(app.topic("out"))

    with TestDriver(app, on_error="retry") as driver:
        learn_that_it_is_fast(driver)
        attempts.clear()
        for value in (1, 2, 3):
            driver.send("in", value, key="a")
        driver.run_until_idle()

        assert attempts[:3] == ["call 1", "call 2", "behind 1"]
        assert attempts.count("behind 1") == 3
        assert [each.json() for each in driver.outputs("out")][-3:] == [1, 2, 3]
        driver.check(KeyOrder(), KeySerial(), NoLoss())


def test_of_two_such_failures_that_are_final_the_letters_are_in_order(app: App) -> None:
    attempts: list[int] = []

    def call(value: int) -> int:
        attempts.append(value)
        if value == 2:
            raise ConnectionError("the call")
        return value

    @app.pipeline("in", retry=ONCE, virtual_partitions=1)
    def pipeline(sdf: StreamingDataFrame) -> None:
        def check(value: int) -> None:
            attempts.append(-value)
            if value == 1:
                raise ConnectionError("behind it")

        parallel(sdf, call).update(check).to_topic(app.topic("out"))

    with TestDriver(app, on_error="retry") as driver:
        learn_that_it_is_fast(driver)
        attempts.clear()
        for value in (1, 2, 3):
            driver.send("in", value, key="a")
        driver.run_until_idle()

        assert attempts[:3] == [1, 2, -1]
        assert [letter.record.value for letter in driver.dead_letters()] == [b"1", b"2"]
        assert [each.json() for each in driver.outputs("out")][-1:] == [3]
        driver.check(KeyOrder(), KeySerial(), NoLoss())


def test_a_call_that_returns_none_ends_its_value(app: App) -> None:
    build(app, lambda value: value if value % 2 else None)

    with TestDriver(app) as driver:
        for value in range(6):
            driver.send("in", value, key="a")
        driver.run_until_idle()

        assert seen(driver, "a") == [1, 3, 5]


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_a_call_knows_its_record_and_may_emit(app: App, kind: str) -> None:
    def tell(value: int, ctx: Context) -> str:
        ctx.emit("side", ctx.record.offset, key=ctx.record.key)
        return f"{ctx.record.topic}/{ctx.attempt}"

    async def tell_async(value: int, ctx: Context) -> str:
        return tell(value, ctx)

    build(app, tell if kind == "threads" else tell_async)

    with TestDriver(app) as driver:
        driver.send("in", 1, key="a")
        driver.send("in", 1, key="a")
        driver.run_until_idle()

        assert seen(driver, "a") == ["in/1", "in/1"]
        assert [each.json() for each in driver.outputs("side")] == [0, 1]


def test_rows_of_one_record_all_go_through_the_stage(app: App) -> None:
    @app.pipeline("in")
    def pipeline(sdf: StreamingDataFrame) -> None:
        rows = sdf.apply(lambda value: list(range(value)), expand=True)
        parallel(rows, twice).to_topic(app.topic("out"))

    with TestDriver(app) as driver:
        driver.send("in", 3, key="a")
        driver.run_until_idle()

        assert [each.json() for each in driver.outputs("out")] == [0, 2, 4]


def test_what_a_stream_handler_returns_flows_in_and_both_keep_state(app: App) -> None:
    @app.stream("in", state=True)
    def number(value: int, ctx: Context) -> Any:
        ctx.state.set("nth", ctx.state.get("nth", 0) + 1)
        return {"nth": ctx.state.get("nth"), "value": value} if value else None

    @app.pipeline(number)
    def pipeline(sdf: StreamingDataFrame) -> None:
        def add(value: Any, state: Any) -> list[int]:
            state.set("nth", state.get("nth", 100) + 1)
            return [value["nth"], state.get("nth"), value["value"]]

        sdf.apply(add, stateful=True).to_topic(app.topic("out"))

    with TestDriver(app) as driver:
        for value in (7, 0, 8):
            driver.send("in", value, key="a")
        driver.run_until_idle()
        driver.restart()
        driver.send("in", 9, key="a")
        driver.run_until_idle()

        results = [each.json() for each in driver.outputs("out")]
        assert results == [[1, 101, 7], [3, 102, 8], [4, 103, 9]]


def test_a_failure_in_the_pipeline_takes_back_the_state_of_the_handler(app: App) -> None:
    @app.stream("in", state=True, retry=ONCE)
    def number(value: int, ctx: Context) -> Any:
        ctx.state.set("nth", ctx.state.get("nth", 0) + 1)
        return {"nth": ctx.state.get("nth"), "value": value}

    @app.pipeline(number)
    def pipeline(sdf: StreamingDataFrame) -> None:
        sdf.apply(lambda each: [each["nth"], 6 // each["value"]]).to_topic(app.topic("out"))

    with TestDriver(app, on_error="retry") as driver:
        for value in (1, 0, 2, 3):
            driver.send("in", value, key="a")
        driver.run_until_idle()

        assert [each.json() for each in driver.outputs("out")] == [[1, 6], [2, 3], [3, 2]]
        assert len(driver.dead_letters()) == 1
