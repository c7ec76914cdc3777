"""Time that passes only when it is told to."""

from __future__ import annotations

__all__ = ("VirtualClock",)


class VirtualClock:
    """Seconds, starting at 0. Called like `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
