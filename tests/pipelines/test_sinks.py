"""Quix's sinks: what reaches them, and what is committed when they do not take it."""

from __future__ import annotations

from typing import Any

import pytest

from streamjobs import App
from streamjobs.errors import PipelineError, SinkError
from streamjobs.pipelines import count, parallel
from streamjobs.pipelines.quix import BaseSink, BatchingSink, SinkBackpressureError
from streamjobs.testing import TestDriver


class Table(BatchingSink):
    """Keeps what is written; each error of `fails` is raised by one write instead."""

    def __init__(self, *fails: Exception) -> None:
        super().__init__(on_client_connect_success=lambda: None)
        self.rows: list[tuple[Any, Any]] = []
        self.fails = list(fails)
        self.paused = self.started = self.cleaned = 0

    def setup(self) -> None:
        self.started += 1

    def write(self, batch: Any) -> None:
        if self.fails:
            raise self.fails.pop(0)
        self.rows += [(item.key, item.value) for item in batch]

    def on_paused(self) -> None:
        self.paused += 1
        super().on_paused()

    def cleanup(self) -> None:
        self.cleaned += 1


class Wire(BaseSink):
    """Sends each value at once, and confirms at the flush."""

    def __init__(self) -> None:
        super().__init__(on_client_connect_success=lambda: None)
        self.added: list[tuple[Any, ...]] = []
        self.refuses = 0

    def add(self, value: Any, key: Any, timestamp: int, headers: Any, *place: Any) -> None:
        if self.refuses:
            self.refuses -= 1
            raise ConnectionError("no line")
        self.added.append((value, key, timestamp, *place))

    def flush(self) -> None:
        """All has been sent."""


def app_into(sink: BaseSink, *, state: bool = False, **settings: Any) -> App:
    app = App("shop", **settings)

    @app.pipeline("orders")
    def pipeline(sdf: Any) -> None:
        (count(sdf) if state else sdf).sink(sink)

    return app


@pytest.fixture(params=["plain", "state", "exactly-once"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def app_of(kind: str, sink: BaseSink) -> App:
    if kind == "exactly-once":
        return app_into(sink, guarantee="exactly-once")
    return app_into(sink, state=kind == "state")


def send(driver: TestDriver, *values: Any, key: str = "ada") -> None:
    for value in values:
        driver.send("orders", value, key=key)


def test_a_sink_has_everything_in_the_order_of_its_key(kind: str) -> None:
    sink = Table()

    with TestDriver(app_of(kind, sink)) as driver:
        send(driver, 1, 2, 3)
        driver.run_until_idle()

    assert sink.rows == [(b"ada", 1), (b"ada", 2), (b"ada", 3)]


def test_nothing_is_written_before_a_commit_is_due_nor_committed_before_that(kind: str) -> None:
    sink = Table()

    with TestDriver(app_of(kind, sink)) as driver:
        driver.run_until_idle()
        send(driver, 1)
        driver.run_until_quiet()
        written_and_committed = list(sink.rows), driver.committed("orders")
        driver.advance(1.0)

        assert written_and_committed == ([], {0: 0})
        assert (sink.rows, driver.committed("orders")) == ([(b"ada", 1)], {0: 1})


def test_a_sink_gets_the_place_and_the_time_of_the_record() -> None:
    sink = Wire()

    with TestDriver(app_into(sink), partitions=2) as driver:
        driver.send("orders", {"cents": 5}, key="ada", partition=1, timestamp=42)
        driver.run_until_idle()

    assert sink.added == [({"cents": 5}, b"ada", 42, "orders", 1, 0)]


def test_nothing_of_a_failed_attempt_reaches_it() -> None:
    sink, failures = Table(), iter([True, False])
    app = App("shop")

    @app.pipeline("orders")
    def pipeline(sdf: Any) -> None:
        def check(value: int) -> int:
            if value == 2 and next(failures):
                raise ConnectionError("once")
            return value

        sdf.sink(sink)
        sdf.apply(check)

    with TestDriver(app, on_error="retry") as driver:
        send(driver, 1, 2, 3)
        driver.run_until_idle()

    assert [value for _, value in sink.rows] == [1, 2, 3]


def test_what_a_flush_refuses_is_read_again_and_only_then_committed(kind: str) -> None:
    sink = Table(ConnectionError("away"), ConnectionError("still away"))

    with TestDriver(app_of(kind, sink)) as driver:
        driver.run_until_idle()
        send(driver, 1, 2)
        driver.advance(1.0)
        committed_at_first = driver.committed("orders")
        driver.run_until_idle()

        assert committed_at_first == {0: 0}
        assert driver.committed("orders") == {0: 2}
    assert sink.rows == [(b"ada", 1), (b"ada", 2)]


def test_the_pause_doubles_until_the_sink_takes_it() -> None:
    sink = Table(*[ConnectionError("away")] * 5)

    with TestDriver(app_into(sink)) as driver:
        send(driver, 1)
        driver.run_until_idle()

        assert driver.clock.now >= 0.5 + 1 + 2 + 4 + 8
    assert sink.rows == [(b"ada", 1)]


def test_other_topics_go_on_while_a_sink_fails() -> None:
    sink = Table(*[ConnectionError("away")] * 20)
    app = app_into(sink)
    seen = []

    @app.stream("clicks")
    def click(value: int) -> None:
        seen.append(value)

    with TestDriver(app) as driver:
        send(driver, 1)
        driver.advance(5.0)
        for number in range(3):
            driver.send("clicks", number, key="ada")
        driver.advance(2.0)

        assert seen == [0, 1, 2]
        assert driver.committed("clicks") == {0: 3}
        assert driver.committed("orders") == {0: 0}


def test_a_sink_that_wants_a_pause_gets_it(kind: str) -> None:
    sink = Table(SinkBackpressureError(retry_after=30.0))

    with TestDriver(app_of(kind, sink)) as driver:
        send(driver, 1)
        driver.advance(29.0)
        before = list(sink.rows), driver.committed("orders")
        driver.run_until_idle()

        assert before == ([], {0: 0})
        assert sink.rows == [(b"ada", 1)]
    assert sink.paused == 1


def test_what_an_add_raises_counts_as_not_flushed() -> None:
    sink = Wire()
    sink.refuses = 1

    with TestDriver(app_into(sink)) as driver:
        send(driver, 1, 2)
        driver.run_until_idle()

        assert driver.committed("orders") == {0: 2}
    assert [value for value, *_ in sink.added] == [2, 1, 2]


def test_a_crash_before_the_commit_writes_it_again(kind: str) -> None:
    sink = Table()

    with TestDriver(app_of(kind, sink)) as driver:
        send(driver, 1)
        driver.run_until_quiet()
        driver.restart(crash=True)
        driver.run_until_idle()

    assert sink.rows == [(b"ada", 1)]


def test_what_is_done_is_flushed_before_the_process_ends(kind: str) -> None:
    sink = Table()

    with TestDriver(app_of(kind, sink)) as driver:
        driver.run_until_idle()
        send(driver, 1)
        driver.run_until_quiet()

    assert (sink.rows, sink.started, sink.cleaned) == ([(b"ada", 1)], 1, 1)


def test_what_cannot_be_flushed_at_the_end_is_not_committed(kind: str) -> None:
    sink = Table(ConnectionError("away"))

    with TestDriver(app_of(kind, sink)) as driver:
        driver.run_until_idle()
        send(driver, 1)
        driver.run_until_quiet()
        driver.restart()
        committed = driver.committed("orders")
        driver.run_until_idle()

        assert committed == {0: 0}
    assert sink.rows == [(b"ada", 1)]


def test_a_parallel_stage_may_stand_between_two_sinks() -> None:
    before, behind = Table(), Table()
    app = App("shop")

    def double(value: int) -> int:
        return 2 * value

    @app.pipeline("orders")
    def pipeline(sdf: Any) -> None:
        sdf.sink(before)
        parallel(sdf, double).sink(behind)

    with TestDriver(app) as driver:
        send(driver, 1, 2)
        driver.run_until_idle()

    assert [value for _, value in before.rows] == [1, 2]
    assert [value for _, value in behind.rows] == [2, 4]


def test_a_sink_that_cannot_connect_is_named() -> None:
    class Away(Table):
        def setup(self) -> None:
            raise ConnectionError("nobody there")

    with pytest.raises(SinkError, match=r"sink Away cannot be started: .*nobody there"):
        TestDriver(app_into(Away()))


def test_what_is_no_sink_is_refused() -> None:
    app = App("shop")

    @app.pipeline("orders")
    def pipeline(sdf: Any) -> None:
        sdf.sink(print)

    with pytest.raises(PipelineError, match="BaseSink"):
        TestDriver(app)
