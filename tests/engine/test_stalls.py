"""Stalls: attempts that run far longer than usual are noticed from outside."""

from streamjobs.engine.slices import Slice
from streamjobs.engine.stalls import Stalls
from streamjobs.engine.virtual_partition import VirtualPartition
from tests.support.engine import generation, record


def a_slice(records: int = 2) -> Slice:
    made = [record(offset) for offset in range(records)]
    piece = Slice(generation(), VirtualPartition(0), made, [b"k"] * records, {}, {})
    piece.worker = 1
    return piece


def told(stalls: Stalls, piece: Slice, until: float, since: float = 0.0) -> list[float]:
    """When it was told, looking every second."""
    seen, now = [], since
    while now <= until:
        seen += [now for _ in stalls.look([piece], now)]
        now += 1.0
    return seen


def test_an_attempt_that_takes_too_long_is_told_once() -> None:
    assert told(Stalls(lambda _: 0.01, at_least=30), a_slice(), until=100) == [31.0]


def test_what_usually_takes_long_may_take_longer() -> None:
    assert told(Stalls(lambda _: 3.0, at_least=30), a_slice(), until=100) == [61.0]


def test_the_next_record_of_a_slice_counts_anew() -> None:
    stalls, piece = Stalls(lambda _: 0.0, at_least=30), a_slice()
    assert told(stalls, piece, until=20) == []
    piece.current = 1
    assert told(stalls, piece, until=80, since=21) == [52.0]


def test_a_slice_that_waits_for_a_worker_does_not_stall() -> None:
    piece = a_slice()
    piece.worker = None
    assert told(Stalls(lambda _: 0.01, at_least=30), piece, until=100) == []
