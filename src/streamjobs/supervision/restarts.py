"""Whether and when a process that died is started again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streamjobs.errors import ConfigurationError

__all__ = ("Restarts",)

_ENOUGH: Final = 60
"""So many doublings exceed any maximum, and more of them any float."""


@dataclass(frozen=True, slots=True)
class Restarts:
    """A process that dies young is started again after a pause that doubles, until too many in a
    row did.

    Args:
        limit: how many in a row; with that one it is over.
        first: seconds of the first pause.
        maximum: no pause is longer.
        settled: seconds after which a process does not count as having died young.

    Raises:
        ConfigurationError: on any other value.

    Example:
        >>> [Restarts(limit=5).pause(deaths) for deaths in (1, 2, 3, 4, 5)]
        [0.1, 0.2, 0.4, 0.8, None]
    """

    limit: int = 10
    first: float = 0.1
    maximum: float = 10.0
    settled: float = 30.0

    def __post_init__(self) -> None:
        if self.limit < 1 or not 0 < self.first <= self.maximum or self.settled <= 0:
            raise ConfigurationError(f"{self}: from 1, and seconds above 0, first the smaller one")

    def deaths(self, before: int, lived: float) -> int:
        """How many in a row died young, after `before` of them and one that lived so long."""
        return before + 1 if lived < self.settled else 0

    def pause(self, deaths: int) -> float | None:
        """Seconds until the next start after so many in a row; None if there is none."""
        if deaths >= self.limit:
            return None
        doublings = min(max(0, deaths - 1), _ENOUGH)
        return min(self.maximum, self.first * 2.0**doublings)
