"""When too many records die, it is the code or a service that is ill, not the records: stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamjobs.errors import ConfigurationError
from streamjobs.policies import is_number, one_of

__all__ = ("Breaker",)

Scope = Literal["topic", "app"]


@dataclass(frozen=True, slots=True)
class Breaker:
    """Stops intake when too many records die (are dead-lettered, discarded or blocked): nothing new
    starts until it is resumed. What was read stays where it is.

    Args:
        ratio: it opens when this part of the records that ended died, from 0 to 1; None for never.
        window: seconds that count for the ratio.
        minimum: records that must have ended in them for the ratio to mean anything.
        consecutive: it opens when so many records died one after another; None for never.
        scope: what stops: "topic", all handlers of the topic (they share its order), or "app".
        resume_after: seconds until it closes by itself and begins to count anew; None for when it
            is told to: `App.resume()`, or `python -m streamjobs resume PID`.

    Raises:
        ConfigurationError: on any other value.
    """

    ratio: float | None = 0.5
    window: float = 60.0
    minimum: int = 20
    consecutive: int | None = None
    scope: Scope = "topic"
    resume_after: float | None = None

    def __post_init__(self) -> None:
        one_of("Breaker(scope=)", self.scope, Scope)
        if self.ratio is None and self.consecutive is None:
            raise ConfigurationError("Breaker needs ratio= or consecutive=, else it never opens")
        if self.ratio is not None and (not is_number(self.ratio) or not 0 < self.ratio <= 1):
            raise ConfigurationError(f"Breaker(ratio={self.ratio!r}): more than 0, up to 1")
        for name in ("minimum", "consecutive"):
            number = getattr(self, name)
            missing = number is None and name == "consecutive"
            if not missing and (type(number) is not int or number < 1):
                raise ConfigurationError(f"Breaker({name}={number!r}): a whole number from 1")
        for name in ("window", "resume_after"):
            seconds = getattr(self, name)
            missing = seconds is None and name == "resume_after"
            if not missing and (not is_number(seconds) or not seconds > 0):
                raise ConfigurationError(f"Breaker({name}={seconds!r}): seconds, more than 0")
