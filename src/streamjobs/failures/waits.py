"""How long to wait before the next attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from streamjobs.errors import ConfigurationError

__all__ = ("Wait", "constant", "exponential", "fibonacci")

Wait = Callable[[int], float]
"""Seconds to wait after attempt number `n` (from 1) failed."""


def constant(seconds: float) -> Wait:
    """The same pause before every attempt.

    Example:
        >>> constant(5)(1), constant(5)(9)
        (5.0, 5.0)
    """
    return _Constant(_seconds("constant(seconds=", seconds))


def exponential(first: float = 0.5, factor: float = 2.0, maximum: float = 3600.0) -> Wait:
    """Each pause is `factor` times as long as the one before.

    Args:
        first: seconds after the first failed attempt.
        factor: at least 1.
        maximum: no pause is longer, in seconds.

    Example:
        >>> [exponential(first=1, maximum=60)(attempt) for attempt in (1, 2, 3, 10)]
        [1.0, 2.0, 4.0, 60.0]
    """
    if not _is_number(factor) or factor < 1:
        raise ConfigurationError(f"exponential(factor={factor!r}): a number from 1")
    return _Exponential(
        _seconds("exponential(first=", first),
        float(factor),
        _seconds("exponential(maximum=", maximum),
    )


def fibonacci(first: float = 1.0, maximum: float = 3600.0) -> Wait:
    """Each pause is the sum of the two before: 1, 1, 2, 3, 5, 8, ... times `first`.

    Args:
        first: seconds after the first failed attempt.
        maximum: no pause is longer, in seconds.

    Example:
        >>> [fibonacci()(attempt) for attempt in (1, 2, 3, 4, 5, 6)]
        [1.0, 1.0, 2.0, 3.0, 5.0, 8.0]
    """
    return _Fibonacci(_seconds("fibonacci(first=", first), _seconds("fibonacci(maximum=", maximum))


@dataclass(frozen=True, slots=True)
class _Constant:
    seconds: float

    def __call__(self, attempt: int) -> float:
        return self.seconds


@dataclass(frozen=True, slots=True)
class _Exponential:
    first: float
    factor: float
    maximum: float

    def __call__(self, attempt: int) -> float:
        pause = self.first
        for _ in range(attempt - 1):
            if pause >= self.maximum or self.factor == 1:
                break
            pause *= self.factor
        return min(pause, self.maximum)


@dataclass(frozen=True, slots=True)
class _Fibonacci:
    first: float
    maximum: float

    def __call__(self, attempt: int) -> float:
        pause, following = self.first, self.first
        for _ in range(attempt - 1):
            if pause >= self.maximum:
                break
            pause, following = following, pause + following
        return min(pause, self.maximum)


def _seconds(what: str, value: float) -> float:
    if not _is_number(value) or value < 0:
        raise ConfigurationError(f"{what}{value!r}): seconds, 0 or more")
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
