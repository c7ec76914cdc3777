"""What ties a process to its supervisor, seen from the process."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from streamjobs.exit_codes import ExitCode
from streamjobs.supervision.orders import STOPPING, Order

if TYPE_CHECKING:
    from streamjobs.runtime import Runtime

__all__ = ("MARGIN", "Leash")

MARGIN: Final = 10.0
"""Seconds that a process has after `shutdown_timeout` for its last commit, and for leaving."""

log = structlog.get_logger("streamjobs")


class Leash:
    """Obeys the supervisor; when that is gone, the process ends in good order, or the hard way.

    Until the app works, the order to stop ends the process as SIGTERM would without it: nothing has
    been begun then.

    Args:
        pipe: the file descriptor that orders come from.
    """

    def __init__(self, pipe: int) -> None:
        os.set_inheritable(pipe, False)
        self._pipe = pipe
        self._runtime: Runtime | None = None
        self._patience = MARGIN
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no stack trace from the middle of an import
        # The supervisor started this process with both blocked.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        threading.Thread(target=self._follow, name="streamjobs-leash", daemon=True).start()

    def hold(self, runtime: Runtime, shutdown_timeout: float) -> None:
        """From now on this one is told."""
        self._patience = shutdown_timeout + MARGIN
        self._runtime = runtime

    def _follow(self) -> None:
        while order := os.read(self._pipe, 1):
            self._obey(Order(order))
        log.error("the supervisor is gone: this process ends, too")
        self._stop()
        time.sleep(self._patience)
        os._exit(ExitCode.UNFINISHED)

    def _obey(self, order: Order) -> None:
        if order is Order.STOP:
            self._stop()
        elif self._runtime is not None:
            if order is Order.AT_ONCE:
                self._runtime.stop(at_once=True)
            else:
                self._runtime.resume()

    def _stop(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
