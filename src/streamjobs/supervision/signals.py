"""The signals of a supervisor."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self

from streamjobs.supervision.orders import STOPPING

__all__ = ("Signals",)


class Signals:
    """A context in which signals are noted, and can be waited for: those that ask for the end,
    SIGUSR1, and SIGCHLD. In the main thread only.

    Attributes:
        stops: how many asked for the end.
        resume: whether SIGUSR1 came; to be set back by who has heeded it.
    """

    def __init__(self) -> None:
        self.stops = 0
        self.resume = False

    def wait(self, seconds: float | None) -> None:
        """Until one has come since the last call, or so many seconds are over; None for ever."""
        select.select([self._read], [], [], seconds)
        with suppress(BlockingIOError):
            os.read(self._read, 4096)

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        self._woken = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        numbers = (*STOPPING, signal.SIGUSR1, signal.SIGCHLD)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._woken)
        os.close(self._read)
        os.close(self._write)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.stops += number in STOPPING
        self.resume |= number == signal.SIGUSR1
