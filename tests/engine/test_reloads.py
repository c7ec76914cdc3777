"""Partitions that are read again from their last commit: not as fast as they fail."""

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.reloads import FIRST, LONGEST, Reloads

P0 = TopicPartition("orders", 0)


def pauses(reloads: Reloads, count: int, *, frontier: int = 7) -> list[float]:
    """How long it waits each time, when it stands at that frontier and is committed there."""
    found = []
    for _ in range(count):
        reloads.request(P0, 0.0, frontier)
        found.append(min(at for at in (step / 4 for step in range(1000)) if due_at(reloads, at)))
        reloads.succeeded(P0, frontier)  # what each reading begins with
    return found


def due_at(reloads: Reloads, now: float) -> bool:
    return reloads.take_due(now) == [P0]


def test_the_pause_doubles_while_it_stands_where_it_stood() -> None:
    assert pauses(Reloads(), 9) == [FIRST, 1, 2, 4, 8, 16, 32, LONGEST, LONGEST]


def test_it_begins_anew_when_the_frontier_has_moved() -> None:
    reloads = Reloads()
    pauses(reloads, 3)
    reloads.succeeded(P0, 8)
    assert pauses(reloads, 1, frontier=8) == [FIRST]


def test_it_begins_anew_when_it_is_known_why() -> None:
    reloads = Reloads()
    pauses(reloads, 3)
    reloads.forgive()
    assert pauses(reloads, 1) == [FIRST]


def test_a_partition_that_has_gone_is_not_read_again() -> None:
    reloads = Reloads()
    reloads.request(P0, 0.0, 7)
    reloads.forget(P0)
    assert not reloads.pending
