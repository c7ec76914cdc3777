"""The engine's own verdicts: how long a key waits, and which records are given up."""

import pytest

from streamjobs.engine.failure import DISCARD, Backoff, Failure, Park
from streamjobs.engine.slices import Slice
from streamjobs.engine.virtual_partition import VirtualPartition
from streamjobs.errors import LostCauseError, PartitionerError, UnknownJobError
from tests.support.engine import generation, record


def failure(error: Exception, attempt: int = 1) -> Failure:
    piece = Slice(generation(), VirtualPartition(0), [record(0)], [b"k"], {}, {})
    return Failure(record(0), error, attempt, 0.0, 0.0, piece, 0)


def test_pauses_grow_up_to_the_longest() -> None:
    backoff = Backoff(first=1, factor=3, maximum=20)
    pauses = [backoff.decide(failure(ConnectionError(), attempt)) for attempt in range(1, 6)]
    assert pauses == [Park(1), Park(3), Park(9), Park(20), Park(20)]


def test_there_is_no_attempt_too_many() -> None:
    assert Backoff(maximum=60).decide(failure(ConnectionError(), 10**9)) == Park(60)


@pytest.mark.parametrize("kind", [UnknownJobError, PartitionerError, LostCauseError])
def test_a_lost_cause_is_given_up_at_once(kind: type[LostCauseError]) -> None:
    assert Backoff().decide(failure(kind())) is DISCARD
