"""`TestDriver` tells the app's middleware what a process would."""

from typing import Any

import pytest

from streamjobs import App, Middleware
from streamjobs.engine.route import Route
from streamjobs.testing import TestDriver

PAIRS = ("start", "assign", "enqueue", "attempt", "settle", "commit", "revoke", "stop")


class Diary(Middleware):
    """Writes down the name of each hook."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.observed: list[str] = []

    def observe(self, route: Route) -> Route:
        self.observed.append(route.topic)
        return route


def _noting(name: str) -> Any:
    def note(self: Diary, subject: object, *_: object) -> object:
        self.lines.append(name)
        return subject

    return note


for _event in PAIRS:
    for _side in ("before", "after"):
        setattr(Diary, f"{_side}_{_event}", _noting(f"{_side}_{_event}"))


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def app(diary: Diary) -> App:
    app = App("mill", middleware=[diary])

    @app.job(topic="corn", key="sack")
    def grind(sack: int) -> None:
        if sack < 0:
            raise ValueError(sack)

    return app


def grind(app: App, sack: int) -> None:
    app.topics["corn"].jobs["grind"].enqueue(sack)


@pytest.mark.parametrize("event", PAIRS)
def test_every_hook_is_called_as_in_a_process(app: App, diary: Diary, event: str) -> None:
    with TestDriver(app) as driver:
        grind(app, 1)
        driver.run_until_idle()

    told = [line for line in diary.lines if line.endswith(f"_{event}")]
    assert (told[0], told[-1]) == (f"before_{event}", f"after_{event}")
    assert told.count(f"before_{event}") == told.count(f"after_{event}")


def test_a_process_begins_with_its_start_and_ends_with_its_stop(app: App, diary: Diary) -> None:
    with TestDriver(app) as driver:
        grind(app, 1)
        driver.run_until_idle()

    assert diary.lines[:2] == ["before_start", "after_start"]
    assert diary.lines[-1] == "after_stop"


def test_a_restart_is_a_stop_and_a_start(app: App, diary: Diary) -> None:
    with TestDriver(app) as driver:
        driver.restart()

    ends = [line for line in diary.lines if line in {"after_stop", "before_start"}]
    assert ends == ["before_start", "after_stop", "before_start", "after_stop"]


def test_a_process_that_crashes_tells_nobody(app: App, diary: Diary) -> None:
    with TestDriver(app) as driver:
        driver.restart(crash=True)

    ends = [line for line in diary.lines if line in {"after_stop", "before_start"}]
    assert ends == ["before_start", "before_start", "after_stop"]


def test_a_driver_that_ends_with_an_error_tells_of_its_stop(app: App, diary: Diary) -> None:
    def drive() -> None:
        with TestDriver(app) as driver:
            grind(app, -1)
            driver.run_until_idle()

    with pytest.raises(ValueError, match="-1"):
        drive()

    assert diary.lines[-2:] == ["before_stop", "after_stop"]


def test_middleware_may_stand_around_the_engine_side_of_attempts(app: App, diary: Diary) -> None:
    with TestDriver(app):
        pass

    assert diary.observed == ["corn"]
