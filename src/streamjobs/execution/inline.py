"""Handlers on the owner's own thread: no hand-off, for functions that cost next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from streamjobs.engine.slices import Slice
from streamjobs.execution.running import run

__all__ = ("Inline",)

AT_ONCE: Final = 16
"""Slices to run before the owner polls and commits again."""


class Inline:
    """Runs each slice at once and to its end."""

    def __init__(self, finished: Callable[[Slice], None]) -> None:
        self._finished = finished
        self.free = AT_ONCE

    def start(self, slices: Sequence[Slice]) -> None:
        """Run these now; returns when all are through."""
        for piece in slices:
            run(piece)
            self._finished(piece)

    def close(self) -> None:
        """Nothing to let go of."""
