"""The verdict on a failure: retry, dead letter, discard, block or stop, as the user chose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import structlog

from streamjobs.context import Context
from streamjobs.engine.failure import BLOCK, DISCARD, STOP, Bury, Failure, Failures, Park, Verdict
from streamjobs.engine.slices import Slice
from streamjobs.errors import ConfigurationError, LostCauseError
from streamjobs.failures.letters import DeadLetter, Death, write_letter
from streamjobs.failures.retry import Discard, Later, Retry
from streamjobs.record import Record

__all__ = ("FailurePolicy", "Handling", "OnFailure", "Outcome")

Outcome = Literal["dead_letter", "discard", "block", "stop"]
"""What becomes of a record that is given up: its dead letter is written; it is dropped, with a
log line; it stays and holds its key; or it stays and the app stops."""

OnFailure = Outcome | Callable[[Exception, Context], Outcome]
"""An outcome, or a function of the error and the attempt's context that returns one."""

ROOM: Final = 20_000
"""Bytes that a letter may add to its record, and Kafka's frame."""

log = structlog.get_logger("streamjobs")


@dataclass(frozen=True, slots=True)
class Handling:
    """What one handler wants done about failures.

    Raises:
        ConfigurationError: `on_failure` is no outcome and no function.
    """

    retry: Retry = Retry()  # noqa: RUF009  # a frozen value
    on_failure: OnFailure = "dead_letter"

    def __post_init__(self) -> None:
        if not isinstance(self.retry, Retry):
            raise ConfigurationError(f"retry={self.retry!r}: a Retry(...)")
        if not callable(self.on_failure) and self.on_failure not in get_args(Outcome):
            raise ConfigurationError(
                f"on_failure={self.on_failure!r}: one of {_choices()}, or a function of the error "
                "and the context that returns one of them"
            )


class FailurePolicy(Failures):
    """Judges the failures of one topic.

    Args:
        handling: what the handler of a record wants.
        dead_letter: where the topic's dead letters go.
        group: the app's name, for the letters.
        open_context: the context of an attempt, for `on_failure`.
        max_bytes: what the producer takes; a letter that would be larger goes without traceback.
    """

    def __init__(
        self,
        handling: Callable[[Record], Handling],
        dead_letter: DeadLetter,
        group: str,
        open_context: Callable[[Slice, int], Context] = Context,
        max_bytes: int = 1_000_000,
    ) -> None:
        self._handling = handling
        self._dead_letter = dead_letter
        self._group = group
        self._open_context = open_context
        self._max_bytes = max_bytes

    def decide(self, failure: Failure) -> Verdict:
        """The verdict on this failure."""
        error = failure.error
        if isinstance(error, Discard):
            return DISCARD
        if isinstance(error, LostCauseError):
            return self._bury(failure)
        handling = self._handling(failure.record)
        pause = _pause(handling.retry, failure)
        if pause is not None:
            return Park(pause)
        match self._outcome(handling.on_failure, failure):
            case "discard":
                return DISCARD
            case "block":
                return BLOCK
            case "stop":
                return STOP
            case _:
                return self._bury(failure)

    def _outcome(self, chosen: OnFailure, failure: Failure) -> str:
        if not callable(chosen):
            return chosen
        try:
            outcome = chosen(failure.error, self._open_context(failure.piece, failure.index))
        except MemoryError:
            raise
        except Exception as mistake:
            failure.error.add_note(f"on_failure raised {mistake!r}")
            return "dead_letter"
        if outcome not in get_args(Outcome):
            failure.error.add_note(
                f"on_failure returned {outcome!r}, which is none of {_choices()}"
            )
            return "dead_letter"
        return outcome

    def _bury(self, failure: Failure) -> Bury:
        record, dead = failure.record, self._dead_letter
        death = Death.by(
            failure.error,
            group=self._group,
            attempts=failure.attempt,
            first=failure.first,
            last=failure.now,
            sequenced=dead.sequenced,
        )
        if record.size + ROOM > self._max_bytes:
            death = replace(death, traceback="")
        # The letters of one partition share one: so they keep the order of their keys there.
        return Bury(write_letter(dead.topic_for(record.topic), record.partition, record, death))


def _pause(retry: Retry, failure: Failure) -> float | None:
    """Seconds until the next attempt; None if there is to be none."""
    error = failure.error
    if not retry.wants(error):
        return None
    if isinstance(error, Later):
        pause = error.seconds
    else:
        try:
            pause = retry.pause(failure.attempt, failure.record.id)
        except Exception as mistake:
            error.add_note(f"there was no other attempt: Retry(wait=) raised {mistake!r}")
            return None
    elapsed = failure.now - failure.first + pause
    return pause if retry.allows(failure.attempt, elapsed) else None


def _choices() -> str:
    return ", ".join(repr(choice) for choice in get_args(Outcome))
