"""What `run` exits with: public, they stay."""

from __future__ import annotations

from enum import IntEnum

__all__ = ("ExitCode",)


class ExitCode(IntEnum):
    """Why a process ended."""

    OK = 0
    """Stopped in good order: all that had started ended, and is committed."""

    ERROR = 1
    """An error ended it: the broker was lost for good, a record was given up with
    `on_failure="stop"`, a handler raised SystemExit, KeyboardInterrupt or MemoryError, or processes
    of `run --processes` died again and again. What was not complete is delivered again."""

    USAGE = 2
    """It never started: no such app, a setting or a declaration that cannot work."""

    UNFINISHED = 3
    """Handlers still ran when `shutdown_timeout` was over. Their records are delivered again."""

    AT_ONCE = 4
    """A second signal: handlers were not waited for. Their records are delivered again."""
