"""Whether and when a failed attempt is followed by another one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Final

from xxhash import xxh3_64_intdigest

from streamjobs.errors import ConfigurationError, StreamjobsError, UndecodableRecordError
from streamjobs.failures.waits import Wait, constant, exponential

__all__ = ("Discard", "Later", "Retry")

DEFAULT_WAIT: Final = exponential(first=0.5, maximum=60.0)

Errors = type[BaseException] | Iterable[type[BaseException]]


class Discard(StreamjobsError):
    """Raise it in a handler to give the record up: it is logged, counted and complete, and
    nothing of the attempt is kept.

    Example:
        >>> raise Discard("the account was closed")  # doctest: +SKIP
    """

    def __init__(self, reason: str = "the handler gave it up") -> None:
        super().__init__(reason)
        self.reason = reason


class Later(StreamjobsError):
    """What `Retry.later` returns."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the handler asked to be run again in {seconds:g} s")
        self.seconds = seconds

    def __reduce__(self) -> tuple[type[Later], tuple[float]]:
        return Later, (self.seconds,)  # from a worker process


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a record is attempted, and how long its key waits in between. No worker waits
    with it: the key is parked, all other keys go on.

    Args:
        attempts: how often a record is attempted in all, the first time included; None for as
            often as it takes.
        wait: seconds (a number), `constant(...)`, `exponential(...)`, `fibonacci(...)`, or a
            function of the number of the attempt that failed (from 1).
        jitter: up to this part of a pause is added to it, from 0 to 1, so that keys that failed
            together do not come back together. Which part follows from the record and the
            attempt, not from chance: the same history has the same pauses.
        maximum: no pause is longer, in seconds, whatever `wait` says.
        on: the errors that are worth another attempt; others are not attempted again.
        give_up_on: errors that are not, among those.
        within: seconds since the first failure after which no other attempt begins.

    Raises:
        ConfigurationError: on any other value.

    Example:
        >>> Retry(attempts=3, wait=exponential(first=1), jitter=0).pause(2, "t/0/1")
        2.0
    """

    attempts: int | None = 10
    wait: Wait | float = DEFAULT_WAIT
    jitter: float = 0.1
    maximum: float | None = None
    on: Errors = (Exception,)
    give_up_on: Errors = ()
    within: float | None = None

    def __post_init__(self) -> None:
        if self.attempts is not None and (type(self.attempts) is not int or self.attempts < 1):
            raise ConfigurationError(
                f"Retry(attempts={self.attempts!r}): a whole number from 1 (the first attempt "
                "counts), or None for as often as it takes"
            )
        if not callable(self.wait):
            object.__setattr__(self, "wait", constant(self.wait))
        if not _is_seconds(self.jitter) or self.jitter > 1:
            raise ConfigurationError(f"Retry(jitter={self.jitter!r}): from 0 to 1")
        for name in ("maximum", "within"):
            value = getattr(self, name)
            if value is not None and not _is_seconds(value):
                raise ConfigurationError(f"Retry({name}={value!r}): seconds, or None")
        for name in ("on", "give_up_on"):
            object.__setattr__(self, name, _classes(name, getattr(self, name)))

    @staticmethod
    def later(seconds: float) -> Later:
        """To be raised by a handler that wants to be run again in so many seconds, whatever
        `wait`, `on` and `give_up_on` say. It counts as an attempt.

        Example:
            >>> raise Retry.later(30)  # doctest: +SKIP
        """
        if not _is_seconds(seconds):
            raise ConfigurationError(f"Retry.later({seconds!r}): seconds, 0 or more")
        return Later(seconds)

    def wants(self, error: Exception) -> bool:
        """Whether this error is worth another attempt."""
        if isinstance(error, Later):
            return True
        if isinstance(error, UndecodableRecordError):
            return False
        return isinstance(error, self.on) and not isinstance(error, self.give_up_on)  # type: ignore[arg-type]

    def allows(self, attempt: int, elapsed: float) -> bool:
        """Whether another attempt may follow number `attempt`, so many seconds after the first
        failure.
        """
        if self.attempts is not None and attempt >= self.attempts:
            return False
        return self.within is None or elapsed <= self.within

    def pause(self, attempt: int, record_id: str) -> float:
        """Seconds to wait after attempt number `attempt` of this record failed.

        Raises:
            Exception: what the user's `wait` raises.
        """
        assert callable(self.wait)
        seconds = max(0.0, float(self.wait(attempt)))
        if not isfinite(seconds):
            raise ValueError(f"a pause of {seconds} seconds")
        if self.jitter:
            share = xxh3_64_intdigest(f"{record_id}/{attempt}".encode()) / 2**64
            seconds *= 1 + self.jitter * share
        return seconds if self.maximum is None else min(seconds, self.maximum)


def _is_seconds(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and isfinite(value)
        and value >= 0
    )


def _classes(name: str, given: Errors) -> tuple[type[BaseException], ...]:
    found: tuple[object, ...] = (given,)
    if isinstance(given, Iterable):
        found = tuple(given)
    if not all(isinstance(each, type) and issubclass(each, BaseException) for each in found):
        raise ConfigurationError(f"Retry({name}={given!r}): an exception class, or several")
    return found  # type: ignore[return-value]
