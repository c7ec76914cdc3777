"""Failures: how long a key waits, and which records are given up."""

from streamjobs.engine.failure import DISCARD, Backoff, Park
from streamjobs.errors import UndecodableRecordError, UnknownJobError


def test_pauses_grow_up_to_the_longest() -> None:
    backoff = Backoff(first=1, factor=3, maximum=20)
    pauses = [backoff.decide(ConnectionError(), attempt) for attempt in range(1, 6)]
    assert pauses == [Park(1), Park(3), Park(9), Park(20), Park(20)]


def test_there_is_no_attempt_too_many() -> None:
    assert Backoff(maximum=60).decide(ConnectionError(), 10**9) == Park(60)


def test_what_cannot_be_decoded_is_given_up_at_once() -> None:
    assert Backoff().decide(UndecodableRecordError(), 1) is DISCARD
    assert Backoff().decide(UnknownJobError(), 1) is DISCARD
