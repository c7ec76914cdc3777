"""Checkpoints: state and progress in one transaction, a piece a turn, and what becomes of one that
goes wrong.
"""

import pytest

from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import TopicPartition
from streamjobs.engine import completion_map
from streamjobs.engine.checkpoint import MOST_PIECES, Checkpoint, Stage
from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Frozen
from streamjobs.engine.notes import read_notes
from streamjobs.engine.route import Route
from streamjobs.errors import AbortableTransactionError, TransactionError
from streamjobs.policies import VirtualPartitions
from streamjobs.state.cache import WriteBackCache
from streamjobs.state.errors import StateError
from streamjobs.state.memory import MemoryDisk, MemoryStores
from tests.support.engine import nothing
from tests.support.members import Member

CHANGELOG = "changes"


class Desk:
    """One partition with a store, and its checkpoints, of so many changes a turn."""

    def __init__(self, piece: int = 100) -> None:
        self.now = 0.0
        self.cluster = MemoryCluster({"in": 1, CHANGELOG: 1}, blocking=False)
        self.broker = MemoryBroker(self.cluster)
        self.checkpoint = Checkpoint(
            lambda: self.broker.transactions("id", 10.0, {}),
            max_wait=5.0,
            clock=lambda: self.now,
            piece=piece,
        )
        self.disk = MemoryDisk()
        changelogs = {"default": CHANGELOG}
        route = Route("in", VirtualPartitions(), "inline", nothing, changelogs=changelogs)
        self.generation = Generation(TopicPartition("in", 0), route, 0)
        store = MemoryStores("group", self.disk).open("in", 0, "default")
        self.cache = self.generation.stores["default"] = WriteBackCache(store)
        member = Member(self.broker, "group", "in")
        member.poll()
        self.group = member.consumer.group_metadata()

    def work(self, *keys: bytes, value: bytes = b"1") -> None:
        """A record for each of these keys sets its value, and is complete."""
        ledger = self.generation.ledger
        offsets = range(ledger.next, ledger.next + len(keys))
        ledger.register(offsets)
        ledger.complete(offsets)
        self.cache.merge(dict.fromkeys(keys, value))
        self.generation.dirty = True

    def begin(self) -> None:
        self.checkpoint.begin([self.generation])

    def go_on(self, group: object | None = None) -> dict[Generation, Frozen]:
        return dict(self.checkpoint.go_on(group or self.group))

    def turns_until(self, *stages: Stage, most: int = 100) -> int:
        """How many turns it takes until it is there."""
        for turn in range(most):
            if self.checkpoint.stage in stages:
                return turn
            self.go_on()
        raise AssertionError(f"it stays {self.checkpoint.stage}")

    def readable(self) -> list[bytes | None]:
        """The values in the changelog, for those who read what is committed."""
        log = self.cluster.log(CHANGELOG, 0)
        return [each.value for each in log.records if each.offset < log.stable]

    def stored(self) -> dict[bytes, bytes]:
        return dict(self.cache.store.items(None, 1000))

    def committed(self) -> int | None:
        found = self.cluster.committed("group", "in", 0)
        return None if found is None else found.offset


def test_without_a_group_no_progress_is_committed_and_no_state_is_seen() -> None:
    desk = Desk()
    desk.work(b"k")
    desk.begin()
    with pytest.raises(TransactionError):
        desk.checkpoint.go_on(None)
    desk.checkpoint.abort()
    assert desk.stored() == {}
    assert desk.readable() == []


def test_what_a_disk_does_not_take_is_committed_all_the_same_and_not_twice() -> None:
    desk = Desk()

    def fail() -> None:
        raise StateError("the disk is full")

    desk.disk.before_chunk = fail
    desk.work(b"k")
    desk.begin()
    with pytest.raises(StateError, match="full"):
        desk.go_on()
    assert desk.cache.dirty == 0

    desk.begin()
    desk.go_on()
    assert desk.readable() == [b"1"]
    assert desk.committed() == 1


def test_nothing_to_commit_opens_no_transaction() -> None:
    desk = Desk()
    desk.begin()
    assert desk.go_on() == {}
    assert desk.checkpoint.stage is Stage.OVER
    assert not desk.checkpoint.transaction.begun


# One that takes several turns.


def test_a_small_one_takes_one_turn() -> None:
    desk = Desk()
    desk.work(b"a", b"b")
    desk.begin()
    assert list(desk.go_on()) == [desk.generation]
    assert desk.checkpoint.stage is Stage.OVER
    assert desk.stored() == {b"a": b"1", b"b": b"1"}


def test_a_large_one_writes_a_piece_a_turn_and_is_seen_as_a_whole() -> None:
    desk = Desk(piece=2)
    desk.work(b"a", b"b", b"c", b"d", b"e")
    desk.begin()

    assert desk.go_on() == {} == desk.go_on()
    assert (desk.readable(), desk.committed(), desk.stored()) == ([], None, {})

    desk.go_on()
    assert (len(desk.readable()), desk.committed()) == (5, 5)


def test_a_very_large_one_takes_no_more_turns_than_a_transaction_may_stay_open_for() -> None:
    desk = Desk(piece=1)
    desk.work(*(b"%d" % number for number in range(20 * MOST_PIECES)))
    desk.begin()

    turns = desk.turns_until(Stage.FLUSHING, Stage.OVER, most=2 * MOST_PIECES)

    assert turns <= MOST_PIECES + 1


def test_a_large_one_goes_to_the_store_a_piece_a_turn_and_is_readable_meanwhile() -> None:
    desk = Desk(piece=2)
    desk.work(b"a", b"b", b"c", b"d", b"e")
    desk.begin()
    desk.turns_until(Stage.FLUSHING)
    assert len(desk.stored()) == 2
    assert desk.cache.store.changelog_offset is None, "the last piece brings it"
    assert [desk.cache.get(key) for key in (b"a", b"e")] == [b"1", b"1"]

    assert desk.turns_until(Stage.OVER) > 1

    assert len(desk.stored()) == 5
    assert desk.cache.store.changelog_offset == 4


def test_what_is_merged_after_the_cut_is_for_the_next_one() -> None:
    desk = Desk(piece=1)
    desk.work(b"a", b"b")
    desk.begin()
    desk.go_on()
    desk.work(b"a", b"c", value=b"2")
    desk.turns_until(Stage.OVER)
    assert (desk.committed(), desk.stored()) == (2, {b"a": b"1", b"b": b"1"})
    assert desk.cache.get(b"a") == b"2"
    assert desk.generation.dirty

    desk.begin()
    desk.turns_until(Stage.OVER)
    assert (desk.committed(), desk.stored()[b"a"]) == (4, b"2")


def test_the_metadata_of_a_cut_says_where_its_changes_end_in_the_changelog() -> None:
    desk = Desk(piece=1)
    desk.work(b"a", b"b", b"c")
    desk.begin()
    desk.turns_until(Stage.OVER)
    found = desk.cluster.committed("group", "in", 0)
    assert found is not None
    notes = read_notes(3, completion_map.decode(3, found.metadata).fields)
    assert list(notes.changelog_ends) == [3]
    assert desk.generation.freeze() == (3, found.metadata)


def test_without_acknowledgements_it_waits_and_is_given_up_in_time() -> None:
    desk = Desk()
    desk.broker.faults.answers_held = True
    desk.work(b"a")
    desk.begin()
    desk.go_on()
    assert desk.checkpoint.stage is Stage.WRITTEN
    desk.now = 4.9
    desk.go_on()
    desk.now = 5.1
    with pytest.raises(AbortableTransactionError, match="in time"):
        desk.go_on()


def test_one_that_is_aborted_half_way_leaves_nothing() -> None:
    desk = Desk(piece=1)
    desk.work(b"a", b"b")
    desk.begin()
    desk.go_on()
    desk.checkpoint.abort()
    assert desk.checkpoint.stage is Stage.OVER
    assert (desk.readable(), desk.committed(), desk.stored()) == ([], None, {})


def test_what_is_committed_reaches_the_store_before_an_abort() -> None:
    desk = Desk(piece=1)
    desk.work(b"a", b"b", b"c")
    desk.begin()
    desk.turns_until(Stage.FLUSHING)
    desk.checkpoint.abort()
    assert len(desk.stored()) == 3
    assert desk.cache.store.changelog_offset == 2
