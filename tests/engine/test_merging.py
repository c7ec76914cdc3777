"""What comes of the changes of a slice: each is merged once, in order, and only if it counts."""

from collections import deque

from streamjobs.broker.ports import Message
from streamjobs.engine.effects import Effects, Waiting
from streamjobs.engine.slices import Slice
from streamjobs.partitioning import virtual_partition_for
from streamjobs.policies import VirtualPartitions
from streamjobs.state.cache import WriteBackCache
from streamjobs.state.changelog import Changes
from streamjobs.state.memory import MemoryStores
from tests.support.engine import TOPIC, Desk, carry_out

TWO = VirtualPartitions(2)
A, B, C = [key for key in map(b"%d".__mod__, range(100)) if not virtual_partition_for(key, 2)][:3]
"""Keys of one virtual partition."""

FAILED = ConnectionError("once")


class Noting(WriteBackCache):
    """Notes what is merged, call by call."""

    def __init__(self) -> None:
        super().__init__(MemoryStores("app").open(TOPIC, 0, "default"))
        self.merged: list[Changes] = []

    def merge(self, changes: Changes) -> None:
        self.merged.append(dict(changes))
        super().merge(changes)


def changing(**values: bytes) -> Effects:
    effects = Effects()
    effects.changes["default"] = {name.encode(): value for name, value in values.items()}
    return effects


def desk_with_a_slice(*keys: bytes) -> tuple[Desk, Noting, Slice]:
    desk = Desk(TWO, slice_size=10)
    store = desk.generation.stores["default"] = Noting()
    desk.accept(*keys)
    (piece,) = desk.start()
    return desk, store, piece


def test_a_slice_that_only_changed_state_is_merged_at_once_with_the_last_value_of_each_key() -> (
    None
):
    desk, store, piece = desk_with_a_slice(A, A, B)

    carry_out(piece, effects={0: changing(a=b"1"), 1: changing(a=b"2"), 2: changing(b=b"7")})
    desk.scheduler.finish(piece, 0, desk.keep)

    assert store.merged == [{b"a": b"2", b"b": b"7"}]
    assert (desk.generation.ledger.frontier, desk.kept) == (3, [])


def test_what_a_running_slice_does_later_is_not_merged_before_it_is_done() -> None:
    desk, store, piece = desk_with_a_slice(A, A, B)

    for limit in (1, 2):  # it is harvested after its first record, and is through later
        carry_out_from(piece, limit)
        desk.scheduler.harvest(piece, desk.keep)
    assert [store.get(b"a"), store.get(b"b")] == [b"2", None]
    carry_out_from(piece, 3)
    desk.scheduler.finish(piece, 0, desk.keep)

    assert store.merged == [{b"a": b"1"}, {b"a": b"2"}, {b"b": b"7"}]


def test_what_a_failed_attempt_changed_is_not_merged_with_the_others() -> None:
    desk, store, piece = desk_with_a_slice(A, B, C)

    effects = {0: changing(a=b"1"), 1: changing(b=b"1"), 2: changing(c=b"1")}
    carry_out(piece, failing={1: FAILED}, effects=effects)
    desk.scheduler.finish(piece, 0, desk.keep)

    assert store.take().changes == {b"a": b"1", b"c": b"1"}


def test_changes_beside_an_emitted_record_are_merged_too() -> None:
    desk, store, piece = desk_with_a_slice(A, B)

    emitting = changing(a=b"1")
    emitting.emits.append(Message("out", b""))
    carry_out(piece, effects={0: emitting, 1: changing(b=b"1")})
    desk.scheduler.finish(piece, 0, desk.keep)

    assert store.take().changes == {b"a": b"1", b"b": b"1"}
    assert desk.kept == [0]


def test_what_a_worker_process_sent_is_merged_too() -> None:
    desk, store, piece = desk_with_a_slice(A, B)

    piece.effects = {0: changing(a=b"1"), 1: changing(b=b"1")}
    piece.progress = 2
    desk.scheduler.finish(piece, 0, desk.keep)

    assert store.take().changes == {b"a": b"1", b"b": b"1"}


def test_a_record_behind_one_that_waits_for_the_broker_is_merged_and_waits_too() -> None:
    desk, store, piece = desk_with_a_slice(A)
    desk.generation.unacknowledged[A] = deque([Waiting(piece.records[0], left=1)])

    carry_out(piece, effects={0: changing(a=b"1")})
    desk.scheduler.finish(piece, 0, desk.keep)

    assert store.take().changes == {b"a": b"1"}
    assert (desk.kept, desk.generation.ledger.frontier) == ([0], 0)


def carry_out_from(piece: Slice, count: int) -> None:
    """Run a slice up to that many records."""
    done = {0: changing(a=b"1"), 1: changing(a=b"2"), 2: changing(b=b"7")}
    for index in range(piece.progress, count):
        piece.succeed(index, done[index])
