"""What odd errors and odd signals must not do."""

import os
import signal
import threading
import time

import pytest

from streamjobs import App, Breaker, DeadLetter, Middleware, Retry
from streamjobs.engine.slices import Slice
from streamjobs.errors import ConfigurationError
from streamjobs.execution.pool import WorkerPool
from streamjobs.exit_codes import ExitCode
from streamjobs.runtime import Runtime
from streamjobs.testing import TestDriver
from tests.support.apps import Stage


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_that_cannot_be_read_is_a_failure_like_others() -> None:
    app = App("odd", retry=Retry(attempts=2, wait=0))

    @app.stream("in", value="str")
    def handle(value: str) -> None:
        raise SpeechlessError

    with Stage({"in": 1}) as stage, stage.app.on(stage.broker), TestDriver(app) as driver:
        driver.send("in", "x")
        with pytest.raises(SpeechlessError):
            driver.run_until_idle()
    with TestDriver(app, on_error="retry") as driver:
        driver.send("in", "x")
        driver.run_until_idle()
        [letter] = driver.dead_letters()
    assert letter.death.error.endswith("SpeechlessError")


@pytest.mark.parametrize("pause", [float("inf"), float("nan"), -1, "soon", True])
def test_a_pause_that_is_none_is_refused(pause: float) -> None:
    with pytest.raises(ConfigurationError, match="later"):
        Retry.later(pause)


def test_a_wait_without_end_means_no_other_attempt() -> None:
    app = App("odd", retry=Retry(wait=lambda attempt: float("inf")))

    @app.stream("in", value="str")
    def handle(value: str) -> None:
        raise ValueError(value)

    with TestDriver(app, on_error="retry") as driver:
        driver.send("in", "x")
        driver.run_until_idle()
        assert len(driver.dead_letters()) == 1


def test_signals_do_not_keep_the_owner_waiting() -> None:
    pool, began = WorkerPool(1, 1), time.monotonic()
    handler = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        stop = threading.Event()

        def pester() -> None:
            while not stop.wait(0.0005):
                os.kill(os.getpid(), signal.SIGUSR1)

        threading.Thread(target=pester, daemon=True).start()
        for _ in range(2_000):
            assert list[Slice](pool.collect(0.001)) == []
        stop.set()
    finally:
        signal.signal(signal.SIGUSR1, handler)
        pool.close()
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("error", [SystemExit(4), KeyboardInterrupt(), MemoryError()])
def test_what_ends_the_process_ends_it_in_good_order_out_of_any_function(
    error: BaseException,
) -> None:
    def decide(_error: Exception, _ctx: object) -> str:
        raise error

    with Stage({"in": 1}) as stage:

        @stage.app.stream(
            "in",
            value="str",
            retry=Retry(attempts=1),
            on_failure=decide,  # type: ignore[arg-type]
        )
        def handle(value: str) -> None:
            raise ValueError(value)

        stage.write("in", b"x", b"k")
        assert Runtime(stage.app).run() is ExitCode.ERROR
        assert stage.committed("in") == 0


def test_a_breaker_opens_before_many_more_have_died() -> None:
    with Stage({"in": 1}, threads=4) as stage:

        @stage.app.stream(
            "in",
            value="str",
            retry=Retry(attempts=1),
            breaker=Breaker(ratio=None, consecutive=5, resume_after=3600),
        )
        def handle(value: str) -> None:
            raise ValueError(value)

        for number in range(3_000):
            stage.write("in", b"x", b"%d" % number)
        runtime = Runtime(stage.app)
        threading.Timer(1.5, runtime.stop).start()
        runtime.run()
        assert runtime.counts.dead_lettered_records < 100


def test_a_history_with_an_open_breaker_breaks_no_guarantee() -> None:
    app = App("odd", retry=Retry(attempts=1))

    @app.stream("in", value="str", breaker=Breaker(ratio=None, consecutive=2, resume_after=30))
    def handle(value: str) -> None:
        if value == "bad":
            raise ValueError

    with TestDriver(app, on_error="retry") as driver:
        for number, value in enumerate(["bad", "bad", "good", "good", "good"]):
            driver.send("in", value, key=number)
        driver.run_until_idle()
        driver.check()


def test_a_topic_is_not_its_own_dead_letter_topic() -> None:
    app = App("odd")
    with pytest.raises(ConfigurationError, match="its own dead-letter topic"):
        app.stream("in", dead_letter=DeadLetter("in"))(lambda value: None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"breaker": 0.5},
        {"dead_letter": "x"},
        {"timeout": "3"},
        {"retry": 3},
    ],
)
def test_what_is_no_policy_is_refused_where_it_is_given(wrong: dict[str, object]) -> None:
    app = App("odd")
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        app.stream("in", **wrong)(lambda value: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [{"middleware": [Middleware]}, {"middleware": Middleware()}, {"context": ["a"]}],
)
def test_an_app_refuses_what_it_cannot_use(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        App("odd", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("topic", ["a b/c", "", "x" * 250])
def test_a_dead_letter_topic_needs_a_name_that_kafka_takes(topic: str) -> None:
    with pytest.raises(ConfigurationError, match="topic"):
        DeadLetter(topic)
