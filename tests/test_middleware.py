"""Middleware: hooks in pairs around everything, and what becomes of one that raises."""

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamjobs import App, Context, Middleware, Retry, headers
from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Message
from streamjobs.engine.events import Events
from streamjobs.logs import LogEvents
from streamjobs.runtime import Runtime
from streamjobs.testing import TestDriver
from streamjobs.testing.recorder import Recorder

PAIRS = ("start", "stop", "assign", "revoke", "settle", "commit", "attempt", "enqueue")


class Diary(Middleware):
    """Writes down the name of each hook."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self.name = name
        self.diary = diary

    def before_attempt(self, ctx: Context) -> None:
        self.diary.append(f"{self.name} before_attempt")

    def after_attempt(self, ctx: Context, error: BaseException | None) -> None:
        outcome = type(error).__name__ if error else "done"
        self.diary.append(f"{self.name} after_attempt {outcome}")

    def before_enqueue(self, message: Message) -> Message:
        self.diary.append(f"{self.name} before_enqueue")
        return message._replace(headers=[*message.headers, ("by", self.name.encode())])

    def after_enqueue(self, message: Message, receipt: object) -> None:
        self.diary.append(f"{self.name} after_enqueue")


def _noting(name: str) -> Callable[..., None]:
    def note(self: Diary, *_: object) -> None:
        self.diary.append(f"{self.name} {name}")

    return note


for _event in ("start", "stop", "assign", "revoke", "settle", "commit"):
    for _side in ("before", "after"):
        setattr(Diary, f"{_side}_{_event}", _noting(f"{_side}_{_event}"))


def an_app(*middleware: Middleware, **more: Any) -> App:
    app = App("mill", middleware=middleware, retry=Retry(attempts=2, wait=0), **more)

    @app.job(topic="corn", key="sack")
    def grind(sack: int) -> None:
        if sack < 0:
            raise ValueError(sack)

    @app.job(topic="flour", key="sack")
    async def bake(sack: int) -> None:
        if sack < 0:
            raise ValueError(sack)

    return app


def job(app: App, name: str = "grind") -> Any:
    return next(topic.jobs[name] for topic in app.topics.values() if name in topic.jobs)


def run(app: App) -> None:
    cluster = MemoryCluster({"corn": 1, "flour": 1})
    with app.on(MemoryBroker(cluster)):
        job(app).enqueue(1).wait()
        Runtime(app).run(until_idle=True)


def test_a_process_tells_everything_in_pairs() -> None:
    diary: list[str] = []
    run(an_app(Diary("a", diary)))
    for event in PAIRS:
        told = [line.split()[1] for line in diary if line.split()[1].endswith(f"_{event}")]
        assert told, event
        assert told.count(f"before_{event}") == told.count(f"after_{event}"), event
        assert (told[0], told[-1]) == (f"before_{event}", f"after_{event}"), event


@pytest.mark.parametrize("name", ["grind", "bake"])
def test_the_first_one_is_the_outermost(name: str) -> None:
    diary: list[str] = []
    app = an_app(Diary("a", diary), Diary("b", diary))
    with TestDriver(app) as driver:
        job(app, name).enqueue(1)
        driver.run_until_idle()
    assert [line for line in diary if "attempt" in line] == [
        "a before_attempt",
        "b before_attempt",
        "b after_attempt done",
        "a after_attempt done",
    ]


@pytest.mark.parametrize("name", ["grind", "bake"])
def test_after_an_attempt_it_is_told_the_error(name: str) -> None:
    diary: list[str] = []
    app = an_app(Diary("a", diary))
    with TestDriver(app, on_error="retry") as driver:
        job(app, name).enqueue(-1)
        driver.run_until_idle()
    assert diary.count("a after_attempt ValueError") == 2


def test_it_can_add_headers_to_what_is_enqueued() -> None:
    app = an_app(Diary("a", []), Diary("b", []))
    with TestDriver(app) as driver:
        job(app).enqueue(1)
        [record] = driver.outputs("corn")
    assert [text for name, text in record.headers if name == "by"] == [b"a", b"b"]


@pytest.mark.parametrize("hook", ["before_attempt", "after_attempt"])
def test_what_raises_around_an_attempt_fails_its_record_alone(hook: str) -> None:
    class Picky(Middleware):
        pass

    def refuse(_self: Picky, ctx: Context, *_: object) -> None:
        if ctx.job is not None and ctx.job.arguments["sack"] == 2:
            raise RuntimeError("not this one")

    setattr(Picky, hook, refuse)
    app = an_app(Picky())
    with TestDriver(app, on_error="retry") as driver:
        for sack in (1, 2, 3):
            job(app).enqueue(sack)
        driver.run_until_idle()
        [letter] = driver.dead_letters()
    assert letter.death.message == "not this one"
    assert letter.record.header(headers.JOB) == b"grind"


def test_each_that_was_entered_is_left_even_if_another_raises() -> None:
    diary: list[str] = []

    class Broken(Middleware):
        def after_attempt(self, ctx: Context, error: BaseException | None) -> None:
            raise RuntimeError

    app = an_app(Diary("a", diary), Broken())
    with TestDriver(app, on_error="retry") as driver:
        job(app).enqueue(1)
        driver.run_until_idle()
    assert diary.count("a before_attempt") == 2
    assert diary.count("a after_attempt RuntimeError") + diary.count("a after_attempt done") == 2


def test_what_raises_around_an_enqueue_sends_nothing() -> None:
    class Closed(Middleware):
        def before_enqueue(self, message: Message) -> Message:
            raise PermissionError("closed")

    app = an_app(Closed())
    with TestDriver(app) as driver:
        with pytest.raises(PermissionError):
            job(app).enqueue_many([(1,), (2,)])
        assert driver.outputs("corn") == []


def test_what_raises_elsewhere_is_logged_and_the_app_goes_on() -> None:
    class Loud(Middleware):
        def after_commit(self, frozen: object) -> None:
            raise RuntimeError("too loud")

    with capture_logs() as logs:
        run(an_app(Loud()))
    told = [line for line in logs if line["event"].startswith("a middleware raised")]
    assert told[0]["hook"] == "after_commit"
    assert any(line["event"] == "stopped" and line["done"] == 1 for line in logs)


def test_the_log_and_the_guarantees_use_the_same_hooks() -> None:
    hooks = {name for name in vars(Events) if not name.startswith("_")}
    assert issubclass(Middleware, Events)
    for own in (LogEvents, Recorder):
        assert issubclass(own, Events)
        assert hooks & set(vars(own))
    assert {f"{side}_{event}" for event in PAIRS for side in ("before", "after")} <= set(
        dir(Middleware)
    )
