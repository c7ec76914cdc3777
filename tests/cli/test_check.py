"""`streamjobs check`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

Streamjobs = Callable[..., tuple[int, str, str]]
Module = Callable[[str, str], None]


@pytest.mark.usefixtures("accounts")
def test_an_app_that_can_run_is_all_good(streamjobs: Streamjobs) -> None:
    code, out, _ = streamjobs("check", "accounts:app")
    assert code == 0
    assert "all good" in out
    assert "update (job, threads)" in out


@pytest.mark.usefixtures("accounts")
def test_it_shows_where_each_setting_came_from(
    streamjobs: Streamjobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMJOBS_TASKS", "5")
    _, out, _ = streamjobs("check", "accounts:app", "--json")

    settings = json.loads(out)["settings"]
    assert settings["tasks"] == {"value": 5, "from": "environment"}
    assert settings["commit_interval"] == {"value": 0.02, "from": "App(...)"}
    assert settings["threads"]["from"] == "default"


@pytest.mark.usefixtures("accounts")
def test_it_shows_topics_and_their_partitions(streamjobs: Streamjobs) -> None:
    _, out, _ = streamjobs("check", "accounts:app", "--json")

    report = json.loads(out)
    assert report["problems"] == []
    assert report["topics"] == [
        {
            "topic": "user-updates",
            "handlers": [
                {
                    "name": "update",
                    "kind": "job",
                    "runs": "threads",
                    "attempts": 10,
                    "on_failure": "dead_letter",
                    "timeout": None,
                }
            ],
            "virtual_partitions": 64,
            "distribution": "consistent",
            "ordering": "key",
            "dead_letter": "user-updates.dead",
            "partitions": 1,
        }
    ]


def test_it_shows_what_is_done_about_failures(streamjobs: Streamjobs, module: Module) -> None:
    module(
        "careful",
        """
        import streamjobs
        app = streamjobs.App("careful", retry=streamjobs.Retry(attempts=None))

        def judge(error, ctx):
            return "block"

        @app.job(topic="jobs", on_failure=judge, timeout=5)
        def careful() -> None: ...

        @app.stream("records", retry=streamjobs.Retry(attempts=3), on_failure="stop")
        def stream(value) -> None: ...
        """,
    )
    _, out, _ = streamjobs("check", "careful:app", "--offline", "--json")

    job, stream = [topic["handlers"][0] for topic in json.loads(out)["topics"]]
    assert (job["attempts"], job["on_failure"], job["timeout"]) == (None, "judge", 5)
    assert (stream["attempts"], stream["on_failure"], stream["timeout"]) == (3, "stop", None)


def test_an_app_that_cannot_be_imported_is_a_problem(
    streamjobs: Streamjobs, module: Module
) -> None:
    module("broken", "raise ValueError('not [/today]')")
    code, out, _ = streamjobs("check", "broken:app")
    assert code == 1
    assert "problem: importing 'broken' failed: ValueError: not [/today]" in out
    assert "all good" not in out


def test_an_app_without_handlers_is_a_problem(streamjobs: Streamjobs, module: Module) -> None:
    module("empty", "import streamjobs\napp = streamjobs.App('empty')\n")
    code, out, _ = streamjobs("check", "empty:app", "--json")
    assert code == 1
    assert json.loads(out)["problems"] == ["app 'empty' has no jobs and no stream handlers"]


@pytest.mark.usefixtures("accounts")
def test_a_setting_that_cannot_be_used_is_a_problem(
    streamjobs: Streamjobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMJOBS_TASKS", "0")
    code, out, _ = streamjobs("check", "accounts:app")
    assert code == 1
    assert "problem: setting tasks='0' (from environment)" in out


def test_a_broker_that_does_not_answer_is_a_problem(streamjobs: Streamjobs, accounts: Any) -> None:
    accounts.app.broker.faults.away = True
    code, out, _ = streamjobs("check", "accounts:app")
    assert code == 1
    assert "problem: the broker in memory is away" in out


def test_offline_the_broker_is_not_asked(streamjobs: Streamjobs, accounts: Any) -> None:
    accounts.app.broker.faults.away = True
    assert streamjobs("check", "accounts:app", "--offline")[0] == 0


@pytest.mark.parametrize("topics, code", [("create", 0), ("require", 1)])
def test_a_missing_topic_is_a_problem_where_topics_are_required(
    streamjobs: Streamjobs, accounts: Any, monkeypatch: pytest.MonkeyPatch, topics: str, code: int
) -> None:
    monkeypatch.setenv("STREAMJOBS_TOPICS", topics)
    accounts.app.stream("clicks")(lambda value: None)

    found, out, _ = streamjobs("check", "accounts:app")

    assert found == code
    assert ("missing on memory/process-1: clicks" in out) == bool(code)


def test_passwords_are_not_shown(streamjobs: Streamjobs, module: Module) -> None:
    module(
        "secure",
        """
        import streamjobs
        connection = {"sasl_password": "s3cret", "sasl_username": "me"}
        app = streamjobs.App("secure", connection=connection)
        app.stream("clicks")(lambda value: None)
        """,
    )
    _, out, _ = streamjobs("check", "secure:app", "--offline")
    assert "s3cret" not in out
    assert "me" in out


def test_partitions_picked_by_number_are_worth_a_note(
    streamjobs: Streamjobs, module: Module
) -> None:
    module(
        "numbered",
        """
        import streamjobs
        app = streamjobs.App("numbered")

        @app.job(topic="jobs", partitioner=lambda call: 0, partition_key_type="partition")
        def update(user_id: int) -> None: ...
        """,
    )
    code, out, _ = streamjobs("check", "numbered:app", "--offline")
    assert code == 0
    assert "note: job 'update' picks partitions by number" in out
