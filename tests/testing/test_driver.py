"""`TestDriver`: an app in memory, in virtual time, step by step."""

import asyncio
from typing import Any

import pytest

from streamjobs import App, Context, DeadLetter, Discard, Retry, current_context, fibonacci
from streamjobs.errors import UndecodableRecordError
from streamjobs.failures.policy import Outcome
from streamjobs.testing import KeyOrder, StillFailingError, TestDriver
from streamjobs.testing.history import Committed, Started


@pytest.fixture
def app() -> App:
    return App("shop")


# In and out.


def test_an_enqueued_call_reaches_the_job(app: App) -> None:
    calls = []

    @app.job(topic="updates", key="user")
    def update(user: int, name: str) -> None:
        calls.append((user, name))

    with TestDriver(app) as driver:
        update.enqueue(7, "Ada")
        update.enqueue_many([(7, "Grace"), (8, "Bob")])
        driver.run_until_idle()

    assert [name for user, name in calls if user == 7] == ["Ada", "Grace"]
    assert [name for user, name in calls if user == 8] == ["Bob"]


def test_nothing_runs_before_it_is_told_to(app: App) -> None:
    calls: list[Any] = []
    app.stream("clicks")(calls.append)

    with TestDriver(app) as driver:
        driver.send("clicks", {"n": 1})
        assert calls == []
        assert driver.step()
        while driver.step():
            pass

    assert calls == [{"n": 1}]


def test_records_are_written_as_any_producer_would(app: App) -> None:
    seen = []

    @app.stream("clicks", value="bytes")
    def click(value: bytes | None, ctx: Context) -> None:
        seen.append((value, ctx.record.key, ctx.record.partition, list(ctx.record.headers)))

    with TestDriver(app, partitions=3) as driver:
        driver.send("clicks", {"n": 1}, key=7, partition=2, headers=[("h", b"v")])
        driver.send("clicks", "text", partition=1)
        driver.send("clicks", b"\x00", partition=0)
        driver.send("clicks", None, key=b"k", partition=0)
        driver.run_until_idle()

    assert sorted(seen, key=lambda each: -each[2]) == [
        (b'{"n":1}', b"7", 2, [("h", b"v")]),
        (b"text", None, 1, []),
        (b"\x00", None, 0, []),
        (None, b"k", 0, []),
    ]


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_what_handlers_emit_is_on_its_topic(app: App, count: int) -> None:
    @app.stream("clicks")
    def click(value: dict[str, int], ctx: Context) -> None:
        ctx.emit("out", {"n": value["n"]}, headers=[("h", b"v")])

    with TestDriver(app) as driver:
        for number in range(count):
            driver.send("clicks", {"n": number}, key="k")
        driver.run_until_idle()

        outputs = driver.outputs("out")
        assert [output.json()["n"] for output in outputs] == list(range(count))
        assert outputs[0].key == b"k"
        assert list(outputs[0].headers) == [("h", b"v")]
        assert driver.committed("clicks") == {0: count}
        driver.check()


def test_a_topic_named_output_is_like_any_other(app: App) -> None:
    app.stream("clicks", to="output")(lambda value: value)

    with TestDriver(app) as driver:
        driver.send("clicks", {"n": 1})
        driver.run_until_idle()
        assert driver.outputs("output")[0].json() == {"n": 1}


def test_topics_have_the_partitions_that_were_asked_for(app: App) -> None:
    @app.stream("clicks")
    def click(value: object, ctx: Context) -> None:
        ctx.emit("out", "x", key=None)

    with TestDriver(app, partitions={"clicks": 2, "out": 3}) as driver:
        for number in range(6):
            driver.send("clicks", "{}", partition=number % 2)
        driver.run_until_idle()
        assert driver.committed("clicks") == {0: 3, 1: 3}
        assert {output.partition for output in driver.outputs("out")} <= {0, 1, 2}
        with pytest.raises(Exception, match="partition 3"):
            driver.send("out", "x", partition=3)


def test_of_an_unknown_topic_there_is_nothing(app: App) -> None:
    app.stream("clicks")(lambda value: None)
    with TestDriver(app) as driver:
        assert driver.outputs("typo") == []
        assert driver.committed("typo") == {}


def test_a_handler_may_enqueue(app: App) -> None:
    calls = []

    @app.job(topic="jobs", key="n")
    def count_down(n: int) -> None:
        calls.append(n)
        if n:
            count_down.enqueue(n - 1)

    with TestDriver(app) as driver:
        count_down.enqueue(3)
        driver.run_until_idle()
        assert driver.committed("jobs") == {0: 4}

    assert calls == [3, 2, 1, 0]


# Errors.


def test_what_a_handler_raises_fails_the_test(app: App) -> None:
    @app.stream("clicks")
    def click(value: object) -> None:
        raise ValueError("no such click")

    with TestDriver(app) as driver:
        driver.send("clicks", {})
        with pytest.raises(ValueError, match="no such click"):
            driver.run_until_idle()
        assert [failure.attempt for failure in driver.failures] == [1]


def test_a_record_that_is_given_up_fails_the_test(app: App) -> None:
    app.stream("clicks")(lambda value: None)

    with TestDriver(app) as driver:
        driver.send("clicks", "no json")
        with pytest.raises(UndecodableRecordError):
            driver.run_until_idle()
        [failure] = driver.failures
        assert failure.dead_lettered
        driver.run_until_idle()
        assert driver.committed("clicks") == {0: 1}


@pytest.fixture
def flaky(app: App) -> list[int]:
    """Fails three times; returns the numbers of its attempts."""
    attempts: list[int] = []

    @app.stream("clicks", retry=Retry(jitter=0))
    def click(value: object) -> None:
        attempts.append(current_context().attempt)
        if len(attempts) < 4:
            raise ConnectionError("away")

    return attempts


def test_retrying_it_succeeds_in_the_end(app: App, flaky: list[int]) -> None:
    with TestDriver(app, on_error="retry") as driver:
        driver.send("clicks", {})
        driver.run_until_idle()
        assert flaky == [1, 2, 3, 4]
        assert [failure.attempt for failure in driver.failures] == [1, 2, 3]
        assert 3.5 <= driver.clock.now < 6
        driver.check()


@pytest.mark.usefixtures("flaky")
def test_each_pause_that_ends_while_time_passes_is_followed_by_its_attempt(app: App) -> None:
    with TestDriver(app, on_error="retry") as driver:
        driver.send("clicks", {})
        driver.advance(2)
        started = [event.at for event in driver.history if isinstance(event, Started)]

        assert driver.clock.now == 2
        assert started == [0.0, 0.5, 1.5]


def test_a_record_that_fails_for_a_day_is_reported(app: App) -> None:
    @app.stream("clicks", retry=Retry(attempts=None, jitter=0))
    def click(value: dict[str, int]) -> None:
        if value["n"] == 1:
            raise ValueError("never")

    with TestDriver(app, on_error="retry") as driver:
        driver.send("clicks", {"n": 1}, key="a")
        driver.send("clicks", {"n": 2}, key="b")
        with pytest.raises(StillFailingError, match=r"clicks/0/0 .*times.*ValueError: never"):
            driver.run_until_idle()


# Time.


def test_a_coroutine_sleeps_in_virtual_time(app: App) -> None:
    woken = []

    @app.stream("clicks")
    async def click(value: object) -> None:
        await asyncio.sleep(3600)
        woken.append(value)

    with TestDriver(app) as driver:
        driver.send("clicks", {}, key="a")
        driver.advance(3599)
        assert driver.committed("clicks") == {0: 0}
        driver.run_until_idle()
        assert driver.committed("clicks") == {0: 1}
        assert 3600 <= driver.clock.now < 3610

    assert woken == [{}]


def test_idle_means_committed(app: App) -> None:
    app.stream("clicks")(lambda value: None)
    with TestDriver(app) as driver:
        for _ in range(3):
            driver.send("clicks", {})
            driver.run_until_idle()
        assert driver.committed("clicks") == {0: 3}
        assert isinstance(driver.history.events[-1], Committed)


def test_a_driver_with_nothing_to_do_is_idle(app: App) -> None:
    app.stream("clicks")(lambda value: None)
    with TestDriver(app) as driver:
        driver.run_until_idle()
        assert not any(driver.committed("clicks").values())


def test_thousands_of_records_are_worked_off(app: App) -> None:
    seen = []
    app.stream("clicks", value="bytes")(seen.append)
    with TestDriver(app) as driver:
        for number in range(12_000):
            driver.send("clicks", b"x", key=number % 7)
        driver.run_until_idle()
    assert len(seen) == 12_000


# Checks.


def test_the_same_records_give_the_same_history(app: App) -> None:
    @app.stream("clicks")
    def click(value: object, ctx: Context) -> None:
        ctx.emit("out", "x")

    def history() -> list[object]:
        with TestDriver(app, partitions=2) as driver:
            for number in range(20):
                driver.send("clicks", {"n": number}, key=number % 3)
            driver.run_until_idle()
            return driver.history.events

    assert history() == history()


def test_chosen_guarantees_are_checked(app: App) -> None:
    app.stream("clicks")(lambda value: None)
    with TestDriver(app) as driver:
        driver.send("clicks", {}, key="a")
        driver.run_until_idle()
        driver.check(KeyOrder())


def test_the_app_is_itself_again_afterwards(app: App) -> None:
    job = app.job(topic="jobs")(lambda: None)
    with TestDriver(app) as first:
        job.enqueue()
    with TestDriver(app) as second:
        job.enqueue()
    assert len(first.outputs("jobs")) == len(second.outputs("jobs")) == 1


# Failures, as the handlers' policies say.


def test_attempts_that_are_used_up_end_in_a_dead_letter(app: App) -> None:
    @app.stream("clicks", retry=Retry(attempts=3, wait=10, jitter=0))
    def click(value: object) -> None:
        raise ConnectionError("away")

    with TestDriver(app, on_error="retry") as driver:
        driver.send("clicks", {"n": 1}, key="a", headers=[("h", b"v")])
        driver.run_until_idle()

        [letter] = driver.dead_letters()
        assert (letter.record.key, letter.record.value) == (b"a", b'{"n":1}')
        assert list(letter.record.headers) == [("h", b"v")]
        assert (letter.death.attempts, letter.death.message) == (3, "away")
        assert (letter.death.first, letter.death.last) == (0, 20)
        assert [each.attempt for each in driver.failures] == [1, 2, 3]
        assert [each.dead_lettered for each in driver.failures] == [False, False, True]
        assert driver.committed("clicks") == {0: 1}
        driver.check()


def test_pauses_of_all_kinds_take_virtual_time(app: App) -> None:
    @app.stream("clicks", retry=Retry(attempts=4, wait=fibonacci(first=60), jitter=0))
    def click(value: object, ctx: Context) -> None:
        if ctx.attempt == 2:
            raise Retry.later(3600)
        raise ConnectionError("away")

    with TestDriver(app, on_error="retry") as driver:
        driver.send("clicks", {})
        driver.run_until_idle()
        started = [event.at for event in driver.history if isinstance(event, Started)]
        assert started == [0, 60, 3660, 3780]


def test_later_records_of_a_key_run_when_the_letter_is_written(app: App) -> None:
    seen = []

    @app.stream("clicks", retry=Retry(attempts=2, wait=100, jitter=0))
    def click(value: dict[str, int], ctx: Context) -> None:
        seen.append((value["n"], ctx.attempt))
        if value["n"] == 1:
            raise ConnectionError("away")

    with TestDriver(app, on_error="retry") as driver:
        for number, key in enumerate("aab", start=1):
            driver.send("clicks", {"n": number}, key=key)
        driver.run_until_idle()
        driver.check()

    assert seen[-1] == (2, 1)
    assert set(seen[:-1]) == {(1, 1), (3, 1), (1, 2)}


def test_jobs_of_one_topic_have_their_own_retries(app: App) -> None:
    attempts: list[str] = []

    def fail(name: str) -> None:
        attempts.append(name)
        raise ConnectionError(name)

    @app.job(topic="jobs", retry=Retry(attempts=1))
    def once() -> None:
        fail("once")

    @app.job(topic="jobs", retry=Retry(attempts=3, wait=1), dead_letter=DeadLetter("graveyard"))
    def thrice() -> None:
        fail("thrice")

    @app.job(topic="jobs", retry=Retry(attempts=2, wait=1), on_failure="discard")
    def never_mind() -> None:
        fail("never mind")

    with TestDriver(app, on_error="retry") as driver:
        for job in (once, thrice, never_mind):
            job.enqueue()
        driver.run_until_idle()

        deaths = {each.death.message: each.death.attempts for each in driver.dead_letters()}
        assert deaths == {"once": 1, "thrice": 3}
        assert {each.place.topic for each in driver.dead_letters()} == {"graveyard"}
        assert [each.attempt for each in driver.failures if each.discarded] == [1]
        driver.check()

    assert sorted(attempts) == ["never mind"] * 2 + ["once"] + ["thrice"] * 3


def test_the_dead_letters_of_one_topic_can_be_asked_for(app: App) -> None:
    app.job(topic="jobs")(lambda: None)
    app.stream("clicks")(lambda value: None)
    with TestDriver(app, on_error="retry") as driver:
        driver.send("jobs", b"no call")
        driver.send("clicks", b"no json")
        driver.run_until_idle()

        assert [each.record.id for each in driver.dead_letters("jobs")] == ["jobs/0/0"]
        assert [each.record.id for each in driver.dead_letters("clicks")] == ["clicks/0/0"]
        assert len(driver.dead_letters()) == 2
        assert driver.dead_letters("typo") == []


def test_what_is_no_letter_is_none(app: App) -> None:
    app.stream("clicks")(lambda value: None)
    with TestDriver(app) as driver:
        driver.send("clicks.dead", {"not": "a letter"})
        assert driver.dead_letters() == []


def test_a_handler_may_give_its_record_up(app: App) -> None:
    @app.stream("clicks")
    def click(value: object, ctx: Context) -> None:
        ctx.emit("out", "x")
        raise Discard("the account was closed")

    with TestDriver(app, on_error="retry") as driver:
        driver.send("clicks", {})
        driver.run_until_idle()
        assert [each.discarded for each in driver.failures] == [True]
        assert driver.dead_letters() == driver.outputs("out") == []
        assert driver.committed("clicks") == {0: 1}


def test_a_blocked_key_is_left_and_the_others_are_worked_off(app: App) -> None:
    seen = []

    @app.stream("clicks", retry=Retry(attempts=2, wait=5), on_failure="block")
    def click(value: dict[str, int]) -> None:
        if value["n"] == 1:
            raise ValueError("never")
        seen.append(value["n"])

    with TestDriver(app, on_error="retry") as driver:
        for number, key in enumerate("aababb", start=1):
            driver.send("clicks", {"n": number}, key=key)
        driver.run_until_idle()

        assert seen == [3, 5, 6]
        assert [each.blocked for each in driver.failures] == [False, True]
        assert driver.committed("clicks") == {0: 0}
        driver.check()


def test_an_app_that_stops_raises_what_it_stopped_for(app: App) -> None:
    @app.stream("clicks", retry=Retry(attempts=1), on_failure="stop")
    def click(value: object) -> None:
        raise ValueError("no way")

    with TestDriver(app, on_error="retry") as driver:
        driver.send("clicks", {})
        for _ in range(2):
            with pytest.raises(ValueError, match="no way"):
                driver.run_until_idle()
        assert driver.dead_letters() == []


def test_a_function_of_the_apps_decides_for_all_its_handlers() -> None:
    def judge(error: Exception, ctx: Context) -> Outcome:
        return "discard" if ctx.job is None and ctx.record.topic == "clicks" else "dead_letter"

    app = App("shop", retry=Retry(attempts=1), on_failure=judge)

    @app.job(topic="jobs")
    def job() -> None:
        raise ValueError("job")

    @app.stream("clicks")
    def click(value: object) -> None:
        raise ValueError("click")

    with TestDriver(app, on_error="retry") as driver:
        job.enqueue()
        driver.send("clicks", {})
        driver.run_until_idle()
        assert [each.record.topic for each in driver.dead_letters()] == ["jobs"]
        assert [each.record.topic for each in driver.failures if each.discarded] == ["clicks"]


def test_an_error_that_is_raised_leaves_the_record_to_its_policy(app: App) -> None:
    @app.stream("clicks", retry=Retry(attempts=2, wait=10))
    def click(value: object) -> None:
        raise ValueError("no")

    with TestDriver(app) as driver:
        driver.send("clicks", {})
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                driver.run_until_idle()
        driver.run_until_idle()
        assert [each.death.attempts for each in driver.dead_letters()] == [2]


def test_letters_stand_on_the_partition_with_the_records_number(app: App) -> None:
    @app.stream("clicks", retry=Retry(attempts=1))
    def click(value: object) -> None:
        raise ValueError("no")

    with TestDriver(app, partitions=3, on_error="retry") as driver:
        for number in (2, 0, 1):
            driver.send("clicks", {}, partition=number)
        driver.run_until_idle()
        assert [
            (each.place.partition, each.record.partition) for each in driver.dead_letters()
        ] == [
            (0, 0),
            (1, 1),
            (2, 2),
        ]


def test_what_a_crash_left_in_an_open_transaction_is_no_output() -> None:
    app = App("visits", guarantee="exactly-once")

    @app.stream("visits", to="seen")
    def see(visit: dict) -> dict:
        return visit

    with TestDriver(app) as driver:
        driver.send("visits", {"n": 1}, key="ada")
        driver.run_until_quiet()
        assert driver.outputs("seen") == []
        driver.restart(crash=True)
        driver.run_until_idle()
        assert [output.json() for output in driver.outputs("seen")] == [{"n": 1}]
