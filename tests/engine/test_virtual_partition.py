"""One virtual partition: lines of records, and whose turn it is."""

from streamjobs.engine.virtual_partition import TURN, VirtualPartition
from tests.support.engine import offsets, record


def lane(*keys: bytes) -> VirtualPartition:
    """A virtual partition with one record of each of these keys, in this order."""
    made = VirtualPartition(0)
    for offset, key in enumerate(keys):
        made.push(key, record(offset, key))
    return made


def taken(ours: VirtualPartition, limit: int) -> list[int]:
    return offsets(ours.take(limit)[0])


def test_a_key_keeps_its_order() -> None:
    assert taken(lane(b"a", b"a", b"a"), 10) == [0, 1, 2]


def test_a_slice_has_a_limit() -> None:
    ours = lane(b"a", b"a", b"a")
    assert taken(ours, 2) == [0, 1]
    assert taken(ours, 2) == [2]


def test_a_key_with_many_records_lets_others_have_their_turn() -> None:
    ours = lane(*[b"hot"] * 100, b"cold")
    assert taken(ours, TURN + 1) == [*range(TURN), 100]


def test_a_key_that_is_alone_fills_the_slice() -> None:
    ours = lane(*[b"a"] * 100)
    assert taken(ours, 50) == list(range(50))
    assert taken(ours, 50) == list(range(50, 100))


def test_a_parked_key_takes_no_turns_and_others_do() -> None:
    ours = lane(b"a", b"b")
    ours.park(b"a")
    assert taken(ours, 10) == [1]
    assert not ours.startable


def test_what_comes_for_a_parked_key_waits_behind_its_line() -> None:
    ours = lane(b"a")
    ours.park(b"a")
    ours.push(b"a", record(1, b"a"))
    ours.wake(b"a")
    assert taken(ours, 10) == [0, 1]


def test_a_key_that_wakes_is_next() -> None:
    ours = lane(b"a", b"b", b"c")
    ours.park(b"c")
    ours.wake(b"c")
    assert taken(ours, 10) == [2, 0, 1]


def test_what_is_given_back_stands_before_the_rest_of_its_key() -> None:
    ours = lane(b"a", b"a", b"a")
    records, _ = ours.take(2)
    ours.give_back(b"a", records)
    assert taken(ours, 10) == [0, 1, 2]


def test_parked_records_are_no_load() -> None:
    ours = lane(b"a", b"a", b"b")
    assert ours.load == 3
    ours.park(b"a")
    assert ours.load == 1
    ours.wake(b"a")
    assert ours.load == 3


def test_it_holds_a_key_that_waits_or_is_parked() -> None:
    ours = lane(b"a", b"b")
    ours.park(b"a")
    assert (ours.holds(b"a"), ours.holds(b"b"), ours.holds(b"c")) == (True, True, False)


def test_while_it_runs_nothing_can_be_started() -> None:
    ours = lane(b"a")
    ours.running = True
    assert not ours.startable
