"""An asyncio event loop on which sleeping takes no time."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

__all__ = ("VirtualTimeLoop",)


class _Selector(selectors.SelectSelector):
    """Where the loop would wait for a timer, its time moves on instead."""

    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        if timeout is not None and timeout > 0:
            self.loop.slept += timeout
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`asyncio.sleep(60)` returns at once, and `time()` says that a minute is gone."""

    def __init__(self) -> None:
        self.slept = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.slept

    def __del__(self) -> None:
        """Nobody closes it: it ends with the simulated process it belongs to."""
        if not self.is_closed():
            self.close()
