"""The accounts of chaos count right, or its reports mean nothing."""

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing.history import (
    Assigned,
    Committed,
    Crashed,
    Event,
    Finished,
    History,
    Sent,
    Settled,
    Started,
)
from tests.chaos.outcome import judge
from tests.chaos.toll import Accounts, Toll

PLACE = TopicPartition("t", 0)


def test_a_kill_costs_what_was_in_flight_and_what_was_done_since_the_commit() -> None:
    toll = only_toll(*life("a", done=[0, 1, 2], committed=1, running=[3]), Crashed(50, "a"))
    assert (toll.running, toll.in_flight, toll.since_commit, toll.replayed) == (1, 1, 2, 0)


def test_what_the_next_process_begins_again_is_a_replay() -> None:
    before = life("a", done=[0, 1, 2], committed=1, running=[3])
    toll = only_toll(*before, Crashed(50, "a"), *life("b", at=60, done=[1, 2, 3, 4], began=1))
    assert (toll.replayed, toll.strays, toll.kept) == (3, 0, True)


def test_a_replay_of_what_was_committed_is_a_stray() -> None:
    before = life("a", done=[0, 1, 2], committed=2, running=[3])
    toll = only_toll(*before, Crashed(50, "a"), *life("b", at=60, done=[1, 2, 3]))
    assert (toll.strays, toll.kept) == (1, False)


def test_a_kill_that_landed_with_nothing_in_flight_is_a_failure() -> None:
    history = History([*life("a", done=[0]), Crashed(50, "a")])
    failures = judge("kill", history, [], steady=False).failures
    assert "SIGKILL to a landed with nothing in flight" in failures


def test_a_record_that_nobody_settled_is_lost() -> None:
    accounts = Accounts(History([Sent(0, PLACE, 0, "k"), Sent(0, PLACE, 1, "k"), *life("a", [0])]))
    assert accounts.unsettled == {(PLACE, 1)}


def life(
    member: str,
    done: list[int],
    *,
    at: float = 0.0,
    began: int = 0,
    committed: int | None = None,
    running: list[int] | None = None,
) -> list[Event]:
    """What one process did to its one partition."""
    name = f"{member}/1"
    events: list[Event] = [Assigned(at, member, name, PLACE, began, ())]
    for offset in [*done, *(running or [])]:
        events.append(Started(at + 1, member, name, PLACE, offset, "k", 0, 1))
        if offset in done:
            events.append(Finished(at + 2, member, name, PLACE, offset, None))
            events.append(Settled(at + 3, member, name, PLACE, offset, "done"))
    if committed is not None:
        events.append(Committed(at + 4, member, name, PLACE, committed, ()))
    return events


def only_toll(*events: Event) -> Toll:
    (toll,) = Accounts(History(events)).tolls
    return toll
