"""What random scenarios do about failures."""

from __future__ import annotations

from random import Random
from typing import Final

from streamjobs.context import Context
from streamjobs.failures.policy import Handling, OnFailure, Outcome
from streamjobs.failures.retry import Retry
from streamjobs.failures.waits import Wait, constant, exponential, fibonacci

__all__ = ("random_handling",)


def _raises_at_the_second(attempt: int) -> float:
    if attempt == 2:
        raise ZeroDivisionError("the mistake of a user's wait")
    return 0.2


WAITS: Final[tuple[Wait | float, ...]] = (
    0.3,
    constant(2.0),
    exponential(first=0.2, maximum=60.0),
    exponential(first=0.2, maximum=60.0),
    exponential(first=15.0, maximum=60.0),
    fibonacci(first=0.5, maximum=60.0),
    _raises_at_the_second,
)


def _drop_those_without_a_key(error: Exception, context: Context | None) -> Outcome:
    return "discard" if context and context.record.key is None else "dead_letter"


def _raises(error: Exception, context: Context | None) -> Outcome:
    raise LookupError("the mistake of a user's on_failure")


OUTCOMES: Final[tuple[OnFailure, ...]] = (
    *("dead_letter",) * 6,
    "discard",
    *("block",) * 4,
    *("stop",) * 2,
    _drop_those_without_a_key,
    _raises,
)


def random_handling(random: Random) -> Handling:
    """How often handlers are retried, how long it takes, and what comes then."""
    retry = Retry(
        attempts=random.choice((1, 2, 2, 3, 5, None)),
        wait=random.choice(WAITS),
        jitter=random.choice((0.0, 0.1, 1.0)),
        maximum=random.choice((None, None, 5.0)),
        within=random.choice((None, None, None, 3.0)),
    )
    return Handling(retry, random.choice(OUTCOMES))
