"""`streamjobs run`."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from streamjobs.exit_codes import ExitCode

Streamjobs = Callable[..., tuple[int, str, str]]
Module = Callable[[str, str], None]

SLOW = """
    import time
    from streamjobs import App, current_context
    from streamjobs.broker.memory import MemoryBroker, MemoryCluster

    app = App(
        "slow",
        broker=MemoryBroker(MemoryCluster({{"jobs": 1}})),
        commit_interval=0.02,
        shutdown_timeout={shutdown_timeout},
    )

    @app.job(topic="jobs")
    def sleep(seconds: float, heed: bool) -> None:
        print("started", flush=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (heed and current_context().stopping):
            time.sleep(0.001)

    sleep.enqueue(60, heed={heed}).wait()
"""


def test_it_works_until_everything_is_done(streamjobs: Streamjobs, accounts: Any) -> None:
    accounts.update.enqueue(7, "Ada")

    code, _, _ = streamjobs("run", "accounts:app", "--until-idle")

    assert code == ExitCode.OK
    assert accounts.calls == [(7, "Ada")]


@pytest.mark.usefixtures("accounts")
def test_without_a_terminal_every_line_is_json(streamjobs: Streamjobs) -> None:
    _, out, err = streamjobs("run", "accounts:app", "--until-idle", "--verbose")

    lines = [json.loads(line) for line in err.splitlines()]
    assert out == ""
    assert {"running", "partition assigned", "stopped"} <= {line["event"] for line in lines}
    assert all({"level", "timestamp"} <= line.keys() for line in lines)


@pytest.mark.usefixtures("accounts")
def test_lines_for_people_can_be_asked_for(streamjobs: Streamjobs) -> None:
    _, _, err = streamjobs("run", "accounts:app", "--until-idle", "--log-format", "console")
    assert "running" in err
    assert not err.startswith("{")


def test_options_win_over_what_the_app_says(streamjobs: Streamjobs, accounts: Any) -> None:
    streamjobs("run", "accounts:app", "--until-idle", "--threads", "3", "--instance", "a")

    assert accounts.app.settings.threads == 3
    assert accounts.app.settings.instance == "a"


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("threads", ["0", "-1", "many"])
def test_threads_are_a_number_from_one(streamjobs: Streamjobs, threads: str) -> None:
    code, _, err = streamjobs("run", "accounts:app", "--threads", threads)
    assert code == ExitCode.USAGE
    assert "--threads" in err


def test_an_app_without_handlers_never_starts(streamjobs: Streamjobs, module: Module) -> None:
    module("empty", "import streamjobs\napp = streamjobs.App('empty')\n")
    code, _, err = streamjobs("run", "empty:app")
    assert code == ExitCode.USAGE
    assert "has no jobs and no stream handlers" in err


@pytest.mark.usefixtures("accounts")
def test_a_wrong_setting_never_starts(
    streamjobs: Streamjobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMJOBS_TASKS", "0")
    code, _, err = streamjobs("run", "accounts:app")
    assert code == ExitCode.USAGE
    assert "setting tasks='0' (from environment)" in err


@pytest.mark.parametrize("error", ["SystemExit(0)", "MemoryError()", "KeyboardInterrupt()"])
def test_an_error_that_is_meant_for_the_app_ends_it(
    streamjobs: Streamjobs, module: Module, error: str
) -> None:
    module(
        "stops",
        f"""
        from streamjobs import App
        from streamjobs.broker.memory import MemoryBroker, MemoryCluster

        cluster = MemoryCluster({{"jobs": 1}})
        app = App("stops", broker=MemoryBroker(cluster), commit_interval=0.02)

        @app.job(topic="jobs")
        def stop() -> None:
            raise {error}

        stop.enqueue().wait()
        """,
    )

    code, _, err = streamjobs("run", "stops:app", "--until-idle")

    last = json.loads(err.splitlines()[-2])
    assert code == ExitCode.ERROR
    assert last["event"] == "stopped by a handler"
    assert last["error"] == error
    assert sys.modules["stops"].cluster.committed("stops", "jobs", 0).offset == 0


# Signals, to a process of its own.


def started(folder: Path, heed: bool, shutdown_timeout: float) -> subprocess.Popen[str]:
    """A process whose only handler has begun to run; it may heed that the app stops."""
    source = dedent(SLOW).format(heed=heed, shutdown_timeout=shutdown_timeout)
    (folder / "slow.py").write_text(source, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "streamjobs", "run", "slow:app"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    process = started(tmp_path, heed=True, shutdown_timeout=60)

    process.send_signal(number)

    _, err = process.communicate(timeout=30)
    assert process.returncode == ExitCode.OK
    assert json.loads(err.splitlines()[-1])["done"] == 1


def test_a_handler_that_does_not_end_in_time_is_left_behind(tmp_path: Path) -> None:
    process = started(tmp_path, heed=False, shutdown_timeout=0.1)

    process.send_signal(signal.SIGTERM)

    _, err = process.communicate(timeout=30)
    assert process.returncode == ExitCode.UNFINISHED
    assert "handlers still run after the shutdown timeout" in err


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    process = started(tmp_path, heed=False, shutdown_timeout=60)

    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)  # two signals of one kind at the same time are one
    process.send_signal(signal.SIGTERM)

    _, err = process.communicate(timeout=30)
    assert process.returncode == ExitCode.AT_ONCE
    assert "stopped at once by a second signal" in err
