"""The state of operators: what an attempt that failed leaves behind, and what memory it takes."""

import gc
import weakref
from datetime import timedelta
from typing import Any

import pytest
from quixstreams.dataframe import StreamingDataFrame

from streamjobs import App, Retry
from streamjobs.errors import PipelineError
from streamjobs.pipelines.overlay import Overlay
from streamjobs.state.cache import WriteBackCache
from streamjobs.state.errors import StateNeedsKeyError
from streamjobs.testing import TestDriver

ONCE = Retry(attempts=1)


def values(driver: TestDriver, topic: str = "out") -> list[Any]:
    return [each.json() for each in driver.outputs(topic)]


def test_a_value_that_cannot_be_stored_fails_its_own_record_only(app: App) -> None:
    @app.pipeline("in", retry=ONCE)
    def keep(sdf: StreamingDataFrame) -> None:
        def put(value: int, state: Any) -> Any:
            state.set("last", object() if value == 2 else value)
            return state.get("last")

        sdf.apply(put, stateful=True).to_topic(app.topic("out"))

    with TestDriver(app, on_error="retry") as driver:
        for value in (1, 2, 3):
            driver.send("in", value, key="k")
        driver.run_until_idle()

        assert values(driver) == [1, 3]
        assert [letter.record.value for letter in driver.dead_letters()] == [b"2"]


def test_a_record_that_fails_in_its_second_row_leaves_nothing_of_the_first(app: App) -> None:
    @app.pipeline("in", retry=ONCE)
    def count(sdf: StreamingDataFrame) -> None:
        def nth(value: int, state: Any) -> int:
            state.set("nth", state.get("nth", 0) + 1)
            return 1 // value + state.get("nth")

        sdf = sdf.apply(lambda value: value, expand=True)
        sdf.apply(nth, stateful=True).to_topic(app.topic("out"))

    with TestDriver(app, on_error="retry") as driver:
        for value in ([2, 2], [2, 0], [2]):
            driver.send("in", value, key="k")
        driver.run_until_idle()

        assert values(driver) == [1, 2, 3]


def test_keys_that_are_only_read_take_no_memory() -> None:
    overlay = Overlay(lambda key, value: False)

    for number in range(100):
        overlay.get(b"%d|x" % number, b"%d" % number)

    assert not overlay.get_updates()


def test_a_store_that_is_given_up_is_let_go(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[WriteBackCache]] = []
    initialize = WriteBackCache.__init__

    def remember(self: WriteBackCache, *args: Any) -> None:
        made.append(weakref.ref(self))
        initialize(self, *args)

    monkeypatch.setattr(WriteBackCache, "__init__", remember)

    @app.pipeline("in")
    def count(sdf: StreamingDataFrame) -> None:
        sdf.tumbling_count_window(2).count().final().to_topic(app.topic("out"))

    with TestDriver(app) as driver:
        for _ in range(4):
            driver.send("in", 1, key="k")
            driver.run_until_idle()
            driver.restart()
        driver.send("in", 1, key="k")
        driver.run_until_idle()
        gc.collect()

        assert len(made) == 5
        assert sum(each() is not None for each in made) == 1


def failure_of(app: App, key: str | None) -> Exception:
    """What the first attempt of a record raises."""
    with TestDriver(app, on_error="retry") as driver:
        driver.send("in", 1, key=key)
        driver.run_until_idle()
        return driver.failures[0].error


def test_state_without_a_key_is_a_failure_that_says_so(app: App) -> None:
    @app.pipeline("in", retry=ONCE)
    def count(sdf: StreamingDataFrame) -> None:
        sdf.apply(lambda value, state: state.get("x"), stateful=True).to_topic(app.topic("out"))

    error = failure_of(app, None)

    assert isinstance(error, StateNeedsKeyError)
    assert str(error).startswith("this record has no key")
    assert "filter such records out before" in str(error)


def test_windows_leave_out_records_without_a_key_as_those_of_quix_do(app: App) -> None:
    @app.pipeline("in")
    def count(sdf: StreamingDataFrame) -> None:
        sdf.tumbling_window(10).count().current().to_topic(app.topic("out"))

    with TestDriver(app) as driver:
        driver.send("in", 1)
        driver.send("in", 1, key="k", timestamp=12)
        driver.run_until_idle()

        assert values(driver) == [{"start": 10, "end": 20, "value": 1}]


@pytest.mark.parametrize("method, kept", [("set", "x"), ("set_bytes", b"x")])
def test_values_with_a_ttl_are_refused(app: App, method: str, kept: object) -> None:
    @app.pipeline("in", retry=ONCE)
    def keep(sdf: StreamingDataFrame) -> None:
        def put(value: int, state: Any) -> None:
            getattr(state, method)("last", kept, ttl=timedelta(seconds=1))

        sdf.update(put, stateful=True)

    error = failure_of(app, "k")

    assert isinstance(error, PipelineError)
    assert "ttl=...) inside of a pipeline has a clock that is the whole partition's" in str(error)
    assert "Use a stream handler's ctx.state" in str(error)
