"""One place for a process, and those that take it one after another."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from streamjobs.supervision.ends import End
from streamjobs.supervision.orders import STOPPING, Order

__all__ = ("Slot",)


class Slot:
    """A name, and the process that has it now. Its successor gets the same one, and so can end what
    it left unfinished at once.

    Args:
        name: see `slot_names`.
        command: what to run, with its arguments.

    Attributes:
        pid: of the process that runs or ran last.
        deaths: how many in a row died young.
        due: when the next one is to start; None if one runs, or none is to follow.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.pid = 0
        self.deaths = 0
        self.due: float | None = None
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = False
        self._killed = False

    @property
    def running(self) -> bool:
        """Whether there is a process whose end was not taken yet."""
        return self._process is not None

    def start(self) -> None:
        """Start one."""
        theirs, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            with _held_back():
                self._process = subprocess.Popen(
                    [*self._command, "--slot", self.name, "--leash", str(theirs)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs,),
                )
        finally:
            os.close(theirs)
        self.pid = self._process.pid
        self.due = None
        self._asked = self._killed = False
        self._began = time.monotonic()

    def tell(self, order: Order) -> None:
        """Give an order to the process, if there is one."""
        if self._process is None:
            return
        self._asked |= order is not Order.RESUME
        with suppress(BrokenPipeError, BlockingIOError):  # it has ended, or reads no more
            os.write(self._pipe, order)

    def kill(self) -> None:
        """End it whatever it does, if there is one."""
        if self._process is not None:
            self._killed = True
            self._process.kill()

    def take_end(self) -> End | None:
        """How the process ended, once; None if it has not."""
        status = None if self._process is None else self._process.poll()
        if status is None:
            return None
        self._process = None
        os.close(self._pipe)
        return End(status, time.monotonic() - self._began, self._asked, self._killed)


@contextmanager
def _held_back() -> Iterator[None]:
    """A process inherits this: no signal for the whole group reaches it before it is prepared."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
