"""What an attempt is told: its record, its number, and when to stop early."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from streamjobs import Context, current_context
from streamjobs.errors import ConfigurationError
from streamjobs.exit_codes import ExitCode
from streamjobs.runtime import Runtime
from tests.support.apps import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage({"in": 1, "jobs": 1}) as stage:
        stage.write("in", b"a", key=b"k")
        yield stage


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """As a long-running handler does: look now and then whether to stop."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


def test_outside_of_an_attempt_there_is_no_context() -> None:
    with pytest.raises(ConfigurationError, match="does not run inside of an attempt"):
        current_context()


def test_a_job_called_as_a_function_has_no_context(stage: Stage) -> None:
    @stage.app.job(topic="jobs")
    def job() -> Context:
        return current_context()

    with pytest.raises(ConfigurationError, match="plain function"):
        job()


def test_the_current_context_is_the_one_the_handler_was_given(stage: Stage) -> None:
    seen = []

    @stage.app.stream("in", value="bytes")
    def handle(_: bytes, ctx: Context) -> None:
        seen.append(current_context() is ctx)

    stage.work()

    assert seen == [True]


def test_a_coroutine_keeps_its_context_while_others_run() -> None:
    seen = []

    with Stage({"in": 1}) as stage:

        @stage.app.stream("in", value="bytes")
        async def handle(value: bytes) -> None:
            await asyncio.sleep(0.001)
            seen.append((value, current_context().record.value))

        for value in (b"a", b"b", b"c"):
            stage.write("in", value)
        stage.work()

    assert all(value == of_context for value, of_context in seen)
    assert len(seen) == 3


def test_the_context_of_one_record_is_not_that_of_the_next(stage: Stage) -> None:
    seen = []

    @stage.app.stream("in", value="bytes")
    def handle(_: bytes) -> None:
        seen.append(current_context().record.offset)

    for _ in range(20):
        stage.write("in", b"a", key=b"k")
    stage.work()

    assert seen == list(range(21))


def test_a_thread_of_the_handlers_own_has_no_context(stage: Stage) -> None:
    seen = []

    @stage.app.stream("in", value="bytes")
    def handle(_: bytes) -> None:
        def look() -> None:
            try:
                current_context()
            except ConfigurationError as error:
                seen.append(str(error))

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    stage.work()

    assert len(seen) == 1
    assert "copy_context" in seen[0]


def test_attempts_are_numbered(stage: Stage) -> None:
    seen = []

    @stage.app.stream("in", value="bytes")
    def handle(_: bytes, ctx: Context) -> None:
        seen.append(ctx.attempt)
        if ctx.attempt == 1:
            raise ConnectionError

    stage.work()

    assert seen == [1, 2]


def test_an_attempt_is_told_that_the_app_stops(stage: Stage) -> None:
    seen = []

    @stage.app.stream("in", value="bytes")
    def handle(_: bytes, ctx: Context) -> None:
        before = ctx.stopping
        os.kill(os.getpid(), signal.SIGTERM)
        seen.append((before, wait_until(lambda: ctx.stopping), ctx.revoked))

    assert Runtime(stage.app).run() is ExitCode.OK

    assert seen == [(False, True, False)]
    assert stage.committed("in") == 1


def test_an_attempt_is_told_that_its_partition_goes_away(stage: Stage) -> None:
    seen: list[tuple[bool, bool, bool]] = []

    @stage.app.stream("in", value="bytes")
    def handle(_: bytes, ctx: Context) -> None:
        if not seen:
            before = ctx.revoked
            stage.cluster.bounce("worker", "in", 0)
            seen.append((before, wait_until(lambda: ctx.revoked), ctx.stopping))

    counts = stage.work()

    assert seen == [(False, True, False)]
    assert counts.done == 1  # it returned in time, so it counts


def test_what_an_attempt_does_after_its_partition_was_lost_is_not_kept(stage: Stage) -> None:
    attempts = []

    @stage.app.stream("in", value="bytes", to="out")
    def handle(_: bytes, ctx: Context) -> str:
        attempts.append(ctx)
        if len(attempts) == 1:
            stage.cluster.expire("worker")
            wait_until(lambda: ctx.revoked)
        return f"attempt {len(attempts)}"

    counts = stage.work()

    assert stage.record("out").value == b"attempt 2"
    assert counts.stale_slices == 1
