"""Log lines: which attempt wrote them, and how they look."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from streamjobs import Retry, logs
from tests.support.apps import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage({"jobs": 2}) as stage:
        yield stage


@pytest.fixture(autouse=True)
def usual_logging() -> Iterator[None]:
    """Undo what `configure` does to the whole process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize("kind", ["threads", "inline", "asyncio"])
def test_a_line_of_a_handler_says_which_attempt_it_is_of(
    stage: Stage, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    log = structlog.get_logger()

    def plain(user_id: int) -> None:
        log.info("hello", extra=1)

    async def coroutine(user_id: int) -> None:
        log.info("hello", extra=1)

    job = stage.app.job(
        topic="jobs", name="greet", key="user_id", inline=kind == "inline", virtual_partitions=8
    )(coroutine if kind == "asyncio" else plain)
    position = job.enqueue(7).wait(10)
    logs.configure("json", verbose=False)
    stage.work()

    (line,) = [line for line in lines(capsys) if line["event"] == "hello"]
    assert line["topic"] == "jobs"
    assert line["partition"] == position.partition
    assert line["virtual_partition"] in range(8)
    assert line["offset"] == 0
    assert line["key"] == "7"
    assert line["job"] == "greet"
    assert line["attempt"] == 1
    assert line["extra"] == 1


def test_a_field_of_the_handlers_own_is_left_alone(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    @stage.app.stream("jobs", value="bytes")
    def handle(_: bytes) -> None:
        structlog.get_logger().info("hello", key="mine")

    stage.write("jobs", b"", key=b"k")
    logs.configure("json", verbose=False)
    stage.work()

    (line,) = [line for line in lines(capsys) if line["event"] == "hello"]
    assert line["key"] == "mine"


def test_a_key_that_is_no_text_can_be_logged(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.app.stream("jobs")(lambda value: None)
    stage.write("jobs", b"not JSON", key=b"\xff")
    logs.configure("json", verbose=False)
    stage.work()

    (line,) = [line for line in lines(capsys) if line["event"] == "record dead-lettered"]
    assert line["key"] == "\\xff"


def test_a_line_outside_of_an_attempt_has_no_such_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json", verbose=False)

    structlog.get_logger().info("hello")

    assert set(lines(capsys)[0]) == {"event", "level", "timestamp"}


def test_a_failed_attempt_is_logged_with_its_traceback_once(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = iter([ConnectionError("first"), None])

    @stage.app.job(topic="jobs", retry=Retry(wait=0.5, jitter=0))
    def job() -> None:
        error = next(failures)
        if error:
            raise error

    job.enqueue()
    logs.configure("json", verbose=False)
    stage.work()

    (line,) = [line for line in lines(capsys) if line["event"].startswith("attempt failed")]
    assert line["error"] == "ConnectionError: first"
    assert "raise error" in line["exception"]
    assert (line["attempt"], line["pause"], line["job"]) == (1, 0.5, "job")


def test_commits_are_small_things(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.app.stream("jobs", value="bytes")(lambda value: None)
    stage.write("jobs", b"")
    logs.configure("json", verbose=False)
    stage.work()
    assert "committed" not in [line["event"] for line in lines(capsys)]

    stage.write("jobs", b"")
    logs.configure("json", verbose=True)
    stage.work()
    assert "committed" in [line["event"] for line in lines(capsys)]


def test_values_that_json_does_not_know_are_shown_as_python_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json", verbose=False)

    structlog.get_logger().info("hello", thing=b"\xff")

    assert lines(capsys)[0]["thing"] == r"b'\xff'"


def test_the_console_format_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("console", verbose=False)

    structlog.get_logger().info("hello", thing=1)

    line = capsys.readouterr().err
    assert "hello" in line
    assert not line.startswith("{")


def test_without_a_terminal_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(None, verbose=False)

    structlog.get_logger().info("hello")

    assert lines(capsys)[0]["event"] == "hello"
