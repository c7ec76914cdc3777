"""`FailurePolicy`: the verdict on a failure, as the user chose."""

from typing import Any

import pytest

from streamjobs import Context, DeadLetter, Discard, Retry
from streamjobs.engine.failure import BLOCK, DISCARD, STOP, Bury, Failure, Park
from streamjobs.engine.slices import Slice
from streamjobs.engine.virtual_partition import VirtualPartition
from streamjobs.errors import (
    AttemptInterruptedError,
    ConfigurationError,
    LostCauseError,
    PartitionerError,
    UnknownJobError,
)
from streamjobs.failures.letters import Letter, read_letter
from streamjobs.failures.policy import FailurePolicy, Handling, OnFailure
from streamjobs.record import Record
from tests.support.engine import generation, record

ONCE = Retry(attempts=1)


def policy(
    on_failure: OnFailure = "dead_letter", retry: Retry = ONCE, **dead_letter: Any
) -> FailurePolicy:
    handling = Handling(retry, on_failure)
    return FailurePolicy(lambda record: handling, DeadLetter(**dead_letter), "app")


def failure(
    error: Exception | None = None, attempt: int = 1, *, first: float = 1000.0, now: float = 1000.0
) -> Failure:
    piece = Slice(generation(), VirtualPartition(0), [record(7)], [b"k"], {0: attempt}, {})
    return Failure(record(7), error or ValueError("no"), attempt, first, now, piece, 0)


def letter_of(verdict: object) -> Letter:
    assert isinstance(verdict, Bury)
    message = verdict.letter
    place = message.topic, message.partition or 0, 0
    return read_letter(Record(*place, message.key, message.value, message.headers))


# While there are attempts left.


def test_the_key_waits_for_the_next_attempt() -> None:
    retry = Retry(attempts=3, wait=5, jitter=0)
    assert policy(retry=retry).decide(failure(attempt=2)) == Park(5)


def test_the_last_one_is_the_last() -> None:
    retry = Retry(attempts=3, wait=5)
    assert isinstance(policy(retry=retry).decide(failure(attempt=3)), Bury)


def test_no_attempt_begins_when_the_time_is_over() -> None:
    late = policy(retry=Retry(wait=5, jitter=0, within=60))
    assert late.decide(failure(first=1000, now=1055)) == Park(5)
    assert isinstance(late.decide(failure(first=1000, now=1055.1)), Bury)


def test_who_asks_to_be_run_later_is_run_then() -> None:
    retry = Retry(attempts=3, wait=5, on=())
    assert policy(retry=retry).decide(failure(Retry.later(90), attempt=2)) == Park(90)


def test_that_counts_as_an_attempt() -> None:
    verdict = policy(retry=Retry(attempts=3)).decide(failure(Retry.later(90), attempt=3))
    assert letter_of(verdict).death.attempts == 3


def test_errors_that_are_not_worth_it_are_given_up_at_once() -> None:
    verdict = policy(retry=Retry(give_up_on=ValueError)).decide(failure())
    assert letter_of(verdict).death.attempts == 1


def test_a_wait_that_raises_means_no_further_attempt_and_the_letter_says_so() -> None:
    def wait(attempt: int) -> float:
        raise ZeroDivisionError("oh")

    letter = letter_of(policy(retry=Retry(wait=wait)).decide(failure()))

    assert letter.death.message == "no"
    assert (
        "there was no other attempt: Retry(wait=) raised ZeroDivisionError('oh')"
        in letter.death.traceback
    )


def test_an_interruption_where_nothing_stops_is_a_failure_like_others() -> None:
    verdict = policy("stop").decide(failure(AttemptInterruptedError(), attempt=99))
    assert verdict is STOP


# When they are used up.


def test_the_dead_letter_tells_of_record_and_failure() -> None:
    letter = letter_of(policy().decide(failure(attempt=4, first=1000.0, now=1060.5)))
    assert (letter.record.id, letter.record.key) == ("in/0/7", b"k")
    death = letter.death
    assert (death.group, death.attempts, death.error) == ("app", 4, "ValueError")
    assert (death.first, death.last, death.sequenced) == (1000.0, 1060.5, False)


def test_it_goes_to_the_partition_with_the_records_number() -> None:
    piece = failure().piece
    elsewhere = Failure(Record("in", 5, 7, b"k", b""), ValueError(), 1, 0, 0, piece, 0)
    assert letter_of(policy().decide(elsewhere)).place == ("in.dead", 5)


def test_it_goes_to_the_topic_that_was_chosen() -> None:
    assert letter_of(policy(topic="graveyard").decide(failure())).place.topic == "graveyard"


def test_where_later_records_are_to_follow_it_says_so() -> None:
    assert letter_of(policy(sequenced=True).decide(failure())).death.sequenced


@pytest.mark.parametrize(
    "outcome, verdict", [("discard", DISCARD), ("block", BLOCK), ("stop", STOP)]
)
def test_there_are_other_outcomes(outcome: Any, verdict: object) -> None:
    assert policy(outcome).decide(failure()) is verdict


@pytest.mark.parametrize("outcome", ["dead_letter", "block", "stop"])
def test_a_handler_may_give_its_record_up_whatever_the_outcome_would_be(outcome: Any) -> None:
    assert policy(outcome, Retry()).decide(failure(Discard("closed"))) is DISCARD


@pytest.mark.parametrize("kind", [LostCauseError, UnknownJobError, PartitionerError])
@pytest.mark.parametrize("outcome", ["discard", "block", "stop"])
def test_a_lost_cause_is_dead_lettered_at_once_whatever_the_outcome_would_be(
    kind: type[LostCauseError], outcome: Any
) -> None:
    letter = letter_of(policy(outcome, Retry()).decide(failure(kind("hopeless"), attempt=0)))
    assert (letter.death.message, letter.death.attempts) == ("hopeless", 0)


# A function that decides.


def test_a_function_decides_by_error_and_context() -> None:
    def judge(error: Exception, ctx: Context) -> Any:
        return "block" if ctx.record.offset == 7 and isinstance(error, ValueError) else "stop"

    assert policy(judge).decide(failure()) is BLOCK
    assert policy(judge).decide(failure(KeyError())) is STOP


def test_it_knows_which_attempt_was_the_last() -> None:
    seen = []

    def judge(error: Exception, ctx: Context) -> Any:
        seen.append(ctx.attempt)
        return "discard"

    policy(judge, Retry(attempts=5)).decide(failure(attempt=5))
    assert seen == [5]


def test_it_is_not_asked_while_there_are_attempts_left() -> None:
    def judge(error: Exception, ctx: Context) -> Any:
        raise AssertionError("too early")

    assert isinstance(policy(judge, Retry(attempts=2)).decide(failure()), Park)


def test_one_that_raises_means_a_dead_letter_that_says_so() -> None:
    def judge(error: Exception, ctx: Context) -> Any:
        raise LookupError("which one?")

    letter = letter_of(policy(judge).decide(failure()))

    assert letter.death.message == "no"
    assert "on_failure raised LookupError('which one?')" in letter.death.traceback


@pytest.mark.parametrize("nonsense", [None, "drop", 1, ["discard"]])
def test_one_that_returns_nonsense_does_too(nonsense: Any) -> None:
    letter = letter_of(policy(lambda error, ctx: nonsense).decide(failure()))
    assert f"on_failure returned {nonsense!r}, which is none of" in letter.death.traceback


# What is chosen is checked.


@pytest.mark.parametrize("outcome", ["drop", None, 1])
def test_an_outcome_that_does_not_exist_is_refused(outcome: Any) -> None:
    with pytest.raises(ConfigurationError, match="one of 'dead_letter', 'discard', 'block', 'st"):
        Handling(on_failure=outcome)


def test_a_retry_is_a_retry() -> None:
    with pytest.raises(ConfigurationError, match=r"retry=5: a Retry\(...\)"):
        Handling(retry=5)  # type: ignore[arg-type]
