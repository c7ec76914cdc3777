"""How a process ended, and what that means for the whole."""

import signal

import pytest

from streamjobs.exit_codes import ExitCode
from streamjobs.supervision.ends import End, worst


@pytest.mark.parametrize("code", list(ExitCode))
def test_an_exit_code_of_ours_stands_for_itself(code: ExitCode) -> None:
    assert End(code.value, lived=1.0).code is code


@pytest.mark.parametrize("status", [5, 255, -signal.SIGKILL, -signal.SIGTERM])
def test_any_other_end_is_an_error(status: int) -> None:
    assert End(status, lived=1.0).code is ExitCode.ERROR


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_was_told_to_stop_before_it_had_begun_is_none(number: int) -> None:
    assert End(-number, lived=0.1, asked=True).code is ExitCode.OK


def test_one_that_had_to_be_killed_was_unfinished() -> None:
    end = End(-signal.SIGKILL, lived=50.0, asked=True, killed=True)
    assert end.code is ExitCode.UNFINISHED


def test_it_says_how_it_ended() -> None:
    ends = [End(3, 1.0), End(-signal.SIGSEGV, 1.0), End(-250, 1.0)]
    assert [str(end) for end in ends] == ["with exit code 3", "by SIGSEGV", "by signal 250"]


def test_what_ended_the_others_is_worse_than_what_happened_to_them() -> None:
    assert worst(ExitCode.OK, ExitCode.AT_ONCE) is ExitCode.AT_ONCE
    assert worst(ExitCode.ERROR, ExitCode.UNFINISHED) is ExitCode.ERROR
    assert worst(ExitCode.ERROR, ExitCode.USAGE) is ExitCode.USAGE
