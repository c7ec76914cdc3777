"""`timeout=`: an attempt may only take so long, and nothing of one that took longer is kept."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from streamjobs import App, AttemptTimeoutError, Context, Retry, current_context
from streamjobs.errors import ConfigurationError
from streamjobs.failures.letters import Letter
from streamjobs.testing import TestDriver
from streamjobs.testing.history import Finished, Started
from streamjobs.timeouts import await_within
from tests.support.apps import Stage

MOMENT = 0.05
"""Seconds that a handler may take which cannot be cancelled."""

ONCE = Retry(attempts=1)


@pytest.fixture
def app() -> App:
    return App("shop", retry=ONCE)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage({"jobs": 1}, retry=ONCE) as stage:
        yield stage


def overstay() -> None:
    """Take longer than a moment, and notice."""
    while not current_context().timed_out:
        time.sleep(MOMENT / 10)


def only_letter(app: App, topic: str = "jobs", value: Any = None) -> Letter:
    """Let the app work, with a record if it is one for a stream; what became of its record."""
    with TestDriver(app, on_error="retry") as driver:
        if value is None:
            next(iter(app.topics[topic].jobs.values())).enqueue()
        else:
            driver.send(topic, value)
        driver.run_until_idle()
        driver.check()
        assert driver.outputs("out") == []
        [letter] = driver.dead_letters()
        return letter


# Coroutines.


def test_a_coroutine_is_cancelled_when_its_time_is_over(app: App) -> None:
    ended = []

    @app.job(topic="jobs", timeout=5)
    async def job() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    letter = only_letter(app)

    assert ended == ["cancelled"]
    assert letter.death.error == "streamjobs.errors.AttemptTimeoutError"
    assert letter.death.message == "the attempt took more than its 5 s"


def test_it_takes_no_longer_than_that(app: App) -> None:
    @app.stream("clicks", timeout=5)
    async def click(value: object) -> None:
        await asyncio.sleep(3600)

    with TestDriver(app, on_error="retry") as driver:
        driver.send("clicks", {})
        driver.run_until_idle()
        [started] = [event.at for event in driver.history if isinstance(event, Started)]
        [finished] = [event.at for event in driver.history if isinstance(event, Finished)]
        assert finished - started == pytest.approx(5)


def test_one_that_is_in_time_succeeds(app: App) -> None:
    @app.stream("clicks", to="out", timeout=5)
    async def click(value: object) -> object:
        await asyncio.sleep(4.9)
        return value

    with TestDriver(app) as driver:
        driver.send("clicks", {"n": 1})
        driver.run_until_idle()
        assert driver.outputs("out")[0].json() == {"n": 1}


def test_what_it_emitted_before_is_not_kept(app: App) -> None:
    @app.stream("clicks", timeout=5)
    async def click(value: object, ctx: Context) -> None:
        ctx.emit("out", "too early")
        await asyncio.sleep(3600)

    only_letter(app, "clicks", {})


def test_one_that_swallows_the_cancellation_has_failed_all_the_same(app: App) -> None:
    @app.stream("clicks", to="out", timeout=5)
    async def click(value: object) -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "never mind"
        return "done"

    assert "took more than its 5 s" in only_letter(app, "clicks", {}).death.message


def test_a_timeout_of_the_handlers_own_is_not_mistaken_for_it(app: App) -> None:
    @app.job(topic="jobs", timeout=60)
    async def job() -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(3600)

    assert only_letter(app).death.error == "TimeoutError"


def test_nor_is_one_that_it_raises(app: App) -> None:
    @app.job(topic="jobs", timeout=60)
    async def job() -> None:
        raise TimeoutError("the mail server said so")

    death = only_letter(app).death
    assert (death.error, death.message) == ("TimeoutError", "the mail server said so")


def test_all_values_of_a_record_share_the_time(app: App) -> None:
    async def three() -> None:
        for _ in range(3):
            await asyncio.sleep(0.02)

    with pytest.raises(AttemptTimeoutError):
        asyncio.run(await_within(three(), 0.03))


def test_without_a_timeout_nothing_is_cut_off() -> None:
    async def seven() -> int:
        return 7

    assert asyncio.run(await_within(seven(), None)) == 7


def test_a_cancellation_from_outside_stays_one() -> None:
    async def outside() -> None:
        task = asyncio.create_task(await_within(asyncio.sleep(60), 60))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(outside())


# Threads.


def test_a_plain_function_is_told_and_its_late_attempt_fails(stage: Stage) -> None:
    told = []

    @stage.app.job(topic="jobs", timeout=MOMENT)
    def job() -> None:
        told.append(current_context().timed_out)
        overstay()
        told.append(current_context().timed_out)

    job.enqueue()
    counts = stage.work()

    assert told == [False, True]
    assert (counts.done, counts.dead_lettered_records) == (0, 1)
    death = stage.letter("jobs.dead").death
    assert death.error == "streamjobs.errors.AttemptTimeoutError"
    assert "more than its 0.05 s" in death.message


@pytest.mark.parametrize("inline", [False, True])
def test_what_a_late_one_emitted_is_not_kept(app: App, inline: bool) -> None:
    @app.stream("clicks", to="out", inline=inline, timeout=MOMENT)
    def click(value: object, ctx: Context) -> str:
        ctx.emit("out", "too early")
        overstay()
        return "too late"

    only_letter(app, "clicks", {})


def test_a_late_one_that_raises_has_failed_for_that(app: App) -> None:
    @app.job(topic="jobs", timeout=MOMENT)
    def job() -> None:
        overstay()
        raise ValueError("this is why")

    assert only_letter(app).death.message == "this is why"


def test_one_that_is_in_time_is_done(stage: Stage) -> None:
    stage.app.job(topic="jobs", name="job", timeout=60)(lambda: None).enqueue()
    assert stage.work().done == 1


def test_a_timeout_is_a_failure_like_others(app: App) -> None:
    attempts = []

    @app.job(topic="jobs", timeout=MOMENT, retry=Retry(attempts=3, wait=60))
    def job() -> None:
        attempts.append(current_context().attempt)
        if len(attempts) < 3:
            overstay()

    with TestDriver(app, on_error="retry") as driver:
        job.enqueue()
        driver.run_until_idle()
        assert [type(each.error) for each in driver.failures] == [AttemptTimeoutError] * 2

    assert attempts == [1, 2, 3]


def test_it_need_not_be_attempted_again(app: App) -> None:
    app.job(topic="jobs", name="job", timeout=MOMENT, retry=Retry(give_up_on=TimeoutError))(
        overstay
    )
    assert only_letter(app).death.attempts == 1


def test_without_a_timeout_nobody_is_late(app: App) -> None:
    seen = []
    app.job(topic="jobs", name="job")(lambda: seen.append(current_context().timed_out))
    with TestDriver(app) as driver:
        app.topics["jobs"].jobs["job"].enqueue()
        driver.run_until_idle()
    assert seen == [False]


# Coroutines and plain functions on one topic.


def test_each_job_of_a_topic_has_its_own(app: App) -> None:
    @app.job(topic="jobs", timeout=MOMENT)
    def plain() -> None:
        overstay()

    @app.job(topic="jobs", timeout=5)
    async def coroutine() -> None:
        await asyncio.sleep(3600)

    @app.job(topic="jobs")
    async def patient() -> None:
        await asyncio.sleep(3600)

    with TestDriver(app, on_error="retry") as driver:
        for job in (plain, coroutine, patient):
            job.enqueue()
        driver.run_until_idle()
        messages = sorted(each.death.message for each in driver.dead_letters())

    assert len(messages) == 2
    assert messages[1] == "the attempt took more than its 5 s"
    assert messages[0].endswith("more than its 0.05 s")


# What is chosen is checked.


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_timeout_is_more_than_nothing(app: App, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match=r"timeout=.*more than 0, or None"):
        app.job(topic="jobs", timeout=seconds)(lambda: None)
