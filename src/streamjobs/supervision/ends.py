"""How a process ended, and what that means for the whole."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Final

from streamjobs.exit_codes import ExitCode
from streamjobs.supervision.orders import STOPPING

__all__ = ("End", "worst")

_BAD_TO_WORSE: Final = (
    ExitCode.OK,
    ExitCode.AT_ONCE,
    ExitCode.UNFINISHED,
    ExitCode.ERROR,
    ExitCode.USAGE,
)


@dataclass(frozen=True, slots=True)
class End:
    """The end of one process.

    Attributes:
        status: its exit code, or the signal that ended it, negative.
        lived: seconds.
        asked: whether it had been told to end.
        killed: whether that was because it did not.
    """

    status: int
    lived: float
    asked: bool = False
    killed: bool = False

    @property
    def code(self) -> ExitCode:
        """The exit code it stands for."""
        if self.killed:
            return ExitCode.UNFINISHED
        if self.asked and -self.status in STOPPING:  # it had not begun to work
            return ExitCode.OK
        return ExitCode(self.status) if self.status in list(ExitCode) else ExitCode.ERROR

    def __str__(self) -> str:
        if self.status >= 0:
            return f"with exit code {self.status}"
        try:
            return f"by {signal.Signals(-self.status).name}"
        except ValueError:
            return f"by signal {-self.status}"


def worst(one: ExitCode, other: ExitCode) -> ExitCode:
    """The one of the two that asks more for somebody to look."""
    return max(one, other, key=_BAD_TO_WORSE.index)
