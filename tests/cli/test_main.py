"""The command line as a whole: help, version, and how it fails."""

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version

import pytest

from streamjobs.exit_codes import ExitCode

Streamjobs = Callable[..., tuple[int, str, str]]


def test_the_version_is_that_of_the_package(streamjobs: Streamjobs) -> None:
    assert streamjobs("--version") == (0, version("streamjobs") + "\n", "")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_the_commands(streamjobs: Streamjobs, option: str) -> None:
    code, out, _ = streamjobs(option)
    assert code == 0
    assert all(f" {command} " in out for command in ("run", "enqueue", "check", "broker"))


@pytest.mark.parametrize("command", ["run", "enqueue", "check", "broker"])
def test_each_command_has_help(streamjobs: Streamjobs, command: str) -> None:
    code, out, _ = streamjobs(command, "--help")
    assert code == 0
    assert "Usage: " in out


def test_the_help_of_run_has_an_example_and_the_exit_codes(streamjobs: Streamjobs) -> None:
    _, out, _ = streamjobs("run", "--help")
    assert "python -m streamjobs run accounts:app --threads 64" in out
    assert "Exit codes: 0" in out


def test_without_a_command_there_is_help(streamjobs: Streamjobs) -> None:
    code, out, err = streamjobs()
    assert code == ExitCode.USAGE
    assert "Usage: " in out + err


def test_an_unknown_command_is_refused(streamjobs: Streamjobs) -> None:
    code, _, err = streamjobs("start")
    assert code == ExitCode.USAGE
    assert "No such command 'start'" in err


@pytest.mark.usefixtures("folder")
def test_an_error_is_one_line(streamjobs: Streamjobs) -> None:
    code, out, err = streamjobs("run", "nowhere:app")
    assert (code, out) == (ExitCode.USAGE, "")
    assert err.startswith("error: there is no module 'nowhere'")
    assert err.count("\n") == 1


def test_it_can_be_run_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamjobs", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == version("streamjobs")
