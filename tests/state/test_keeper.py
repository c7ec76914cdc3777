"""Stores of partitions that come: restored, or not to be had."""

import pytest

from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.generation import Generation
from streamjobs.engine.notes import Notes
from streamjobs.engine.route import Route
from streamjobs.policies import VirtualPartitions
from streamjobs.state.changelog import messages
from streamjobs.state.codec import encode
from streamjobs.state.entries import entry_key
from streamjobs.state.errors import StateBehindError
from streamjobs.state.keeper import StateKeeper
from streamjobs.state.memory import MemoryDisk, MemoryStores
from streamjobs.state.store import StoreId
from streamjobs.state.sweep import AGAIN, AGAIN_WITHOUT
from streamjobs.testing.simulation.clock import VirtualClock

PATIENCE = 20.0
CHANGELOG = "changelog__app--clicks--default"
CLICKS = TopicPartition("clicks", 0)
STORE = StoreId("clicks", 0, "default")
ADA = entry_key(b"ada", "n")


class Process:
    """A keeper, its disk, and a changelog in memory."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.cluster = MemoryCluster({CHANGELOG: 1}, blocking=False)
        self.stores = MemoryStores("app", MemoryDisk(wall=self.clock))
        broker = MemoryBroker(self.cluster)
        self.keeper = StateKeeper(
            self.stores, lambda: broker.reader({}), self.clock, PATIENCE, wall=self.clock
        )

    def log(self, *changes: tuple[bytes, bytes | None]) -> None:
        for key, value in changes:
            for message in messages(CHANGELOG, 0, {key: value}):
                self.cluster.append(message)

    def assign(self, told: int = 0) -> Generation:
        route = Route(
            "clicks",
            VirtualPartitions(1),
            "inline",
            lambda piece, index: None,
            changelogs={"default": CHANGELOG},
        )
        generation = Generation(CLICKS, route, 0, notes=Notes(changelog_ends=(told,)))
        self.keeper.load(generation)
        return generation

    def run(self, seconds: float, step: float = 0.5) -> list[Generation]:
        """Turns for so long; returns what was loaded."""
        loaded: list[Generation] = []
        end = self.clock.now + seconds
        while self.clock.now < end:
            loaded += self.keeper.turn()
            self.clock.advance(step)
        return loaded


def test_a_store_is_restored_to_the_end_of_its_changelog() -> None:
    process = Process()
    process.log((b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"b", None))
    generation = process.assign()
    assert process.run(5) == [generation]
    assert generation.stores["default"].get(b"a") == b"3"
    assert generation.stores["default"].get(b"b") is None


def test_a_changelog_that_ends_too_early_is_an_error_with_the_command_that_helps() -> None:
    process = Process()
    process.log((b"a", b"1"))
    process.assign(told=100)
    assert process.run(PATIENCE - 1) == []
    command = "state reset MODULE:APP --changelog --topic clicks"
    with pytest.raises(StateBehindError, match=command):
        process.run(5)


def test_a_store_that_is_ahead_of_its_changelog_is_restored_from_there() -> None:
    process = Process()
    store = process.stores.open(*STORE)
    store.write({b"a": b"of the changelog before"}, 500)
    store.close()
    process.log((b"b", b"1"))
    generation = process.assign()
    assert process.run(PATIENCE - 1) == []
    assert process.run(5) == [generation]
    assert generation.stores["default"].get(b"a") is None
    assert generation.stores["default"].get(b"b") == b"1"


# Values whose time is over.


def test_what_is_over_is_deleted_in_the_next_cut() -> None:
    process = Process()
    process.log((ADA, encode(1, expires=30_000)), (entry_key(b"bob", "n"), encode(1)))
    generation = process.assign()
    process.run(30 + 2 * AGAIN)
    assert generation.stores["default"].take().changes == {ADA: None}
    assert generation.dirty


def test_what_was_merged_since_counts_and_not_what_the_store_still_has() -> None:
    process = Process()
    process.log((ADA, encode(1, expires=1_000)))
    generation = process.assign()
    process.run(5)
    generation.stores["default"].merge({ADA: encode(2)})
    process.run(2 * AGAIN)
    assert generation.stores["default"].take().changes == {ADA: encode(2)}


def test_what_others_keep_is_left_alone_whatever_it_looks_like() -> None:
    process = Process()
    process.log((b"\x00\x00window", encode(1, expires=1)))
    generation = process.assign()
    process.run(2 * AGAIN)
    assert not generation.stores["default"].take().changes


def test_where_nothing_expires_it_is_looked_for_once_an_hour() -> None:
    process = Process()
    process.log((b'k|"n"', encode(1)))
    generation = process.assign()
    process.run(2 * AGAIN)
    looks = []
    store = generation.stores["default"].store
    items = store.items

    def counted(after: bytes | None, limit: int) -> object:
        looks.append(process.clock.now)
        return items(after, limit)

    store.items = counted  # type: ignore[method-assign, assignment]
    process.run(2.5 * AGAIN_WITHOUT, step=10)
    assert len(looks) == 2


def test_a_partition_that_has_gone_is_not_looked_at() -> None:
    process = Process()
    process.log((ADA, encode(1, expires=1_000)))
    generation = process.assign()
    process.run(5)
    process.keeper.forget(generation)
    process.keeper.leave(CLICKS)
    process.run(2 * AGAIN)
    assert process.stores.look(STORE) is not None
