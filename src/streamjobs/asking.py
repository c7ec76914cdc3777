"""A question to the broker that is asked until it is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from streamjobs.errors import StreamjobsError

__all__ = ("ASK_WITHIN", "Asking")

ASK_WITHIN: Final = 5.0
"""Seconds for one question."""

SAID_AFTER: Final = 10
"""Refusals before it is said, and said again: a broker that is away for a moment is told of
elsewhere."""

log = structlog.get_logger("streamjobs")


class Asking:
    """Asks again after a pause, as often as it takes.

    Args:
        what: what cannot be read without the answer, for the log.
        pause: seconds until the question is asked again.
        clock: seconds.
    """

    def __init__(self, what: str, pause: float, clock: Callable[[], float]) -> None:
        self._what = what
        self._pause = pause
        self._clock = clock
        self._not_before = float("-inf")
        self._refusals = 0

    @property
    def is_due(self) -> bool:
        """Whether it may be asked now."""
        return self._clock() >= self._not_before

    def ask(self, question: Callable[[], None]) -> None:
        """Ask; a refusal is counted."""
        try:
            question()
        except StreamjobsError as error:
            self._refusals += 1
            if self._refusals % SAID_AFTER == 0:
                log.warning(
                    f"{self._what} cannot be read; nothing starts until they are", error=str(error)
                )
            self.pause()
        else:
            self._refusals = 0

    def pause(self) -> None:
        """Do not ask for a while."""
        self._not_before = self._clock() + self._pause
