"""Stores that nobody uses any more are deleted, and no others."""

import os
from pathlib import Path

import pytest

from streamjobs.state.memory import MemoryDisk, MemoryStores
from streamjobs.state.retiring import AGAIN_AFTER, FIRST_AFTER, Retiring
from streamjobs.state.rocks import RocksStores
from streamjobs.state.store import StoreId, Stores
from streamjobs.testing.simulation.clock import VirtualClock

WEEK = 7 * 24 * 3600.0
OLD, YOUNG = StoreId("clicks", 0, "default"), StoreId("clicks", 1, "default")


class Machine:
    """A process that has just started, on a machine where others ran before it."""

    def __init__(self, keep: float = WEEK) -> None:
        self.clock = VirtualClock()
        self.stores = MemoryStores("app", MemoryDisk(wall=self.clock))
        self.retiring = Retiring(self.stores, keep, self.clock, self.clock)

    def use(self, store: StoreId) -> None:
        self.stores.open(*store).close()

    def run(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for _ in range(5):
            self.retiring.turn()


def test_a_store_that_was_not_used_for_long_goes() -> None:
    machine = Machine()
    machine.use(OLD)
    machine.clock.advance(WEEK)
    machine.use(YOUNG)
    machine.run(FIRST_AFTER)
    assert machine.stores.found() == [YOUNG]


def test_nothing_goes_before_the_group_has_given_out_its_partitions() -> None:
    machine = Machine()
    machine.use(OLD)
    machine.run(FIRST_AFTER - 1)
    machine.clock.now = WEEK
    fresh = Retiring(machine.stores, WEEK, machine.clock, machine.clock)
    fresh.turn()
    assert machine.stores.found() == [OLD]


def test_a_store_that_is_open_stays_however_old_it_is() -> None:
    machine = Machine()
    machine.stores.open(*OLD)
    machine.run(2 * WEEK)
    assert machine.stores.found() == [OLD]


def test_one_that_gets_old_while_the_process_runs_goes_later() -> None:
    machine = Machine()
    machine.use(OLD)
    machine.run(FIRST_AFTER)
    assert machine.stores.found() == [OLD]
    machine.clock.now = WEEK
    machine.run(AGAIN_AFTER)
    assert machine.stores.found() == []


def test_with_zero_they_are_kept_for_ever() -> None:
    machine = Machine(keep=0)
    machine.use(OLD)
    machine.run(1000 * WEEK)
    assert machine.stores.found() == [OLD]


# What a store tells from outside.


def test_a_store_that_is_not_there_cannot_be_looked_at(stores: Stores) -> None:
    assert stores.look(OLD) is None


def test_who_has_a_store_open_can_be_seen(stores: Stores) -> None:
    store = stores.open(*OLD)
    open_now = stores.look(OLD)
    store.close()
    closed_now = stores.look(OLD)
    assert open_now is not None
    assert open_now.is_open
    assert closed_now is not None
    assert not closed_now.is_open


@pytest.mark.parametrize("is_open", [True, False])
def test_how_much_is_in_it_can_be_seen_whether_it_is_open_or_not(
    stores: Stores, is_open: bool
) -> None:
    store = stores.open(*OLD)
    store.write({b"%d" % number: b"x" * 100 for number in range(50)}, 49)
    if not is_open:
        store.close()
    seen = stores.look(OLD)
    assert seen is not None
    assert seen.size is not None
    assert seen.size.entries == 50
    assert seen.size.bytes > 5000
    store.close()


def test_looking_is_no_use_and_closing_is_one(rocks: RocksStores, tmp_path: Path) -> None:
    store = rocks.open(*OLD)
    folder = tmp_path / "app" / "default" / "clicks" / "0"
    for file in folder.iterdir():
        os.utime(file, (1000, 1000))
    rocks.look(OLD)
    assert rocks.used(OLD) == 1000
    store.close()
    assert rocks.used(OLD) > 1000


def test_what_is_damaged_has_no_size(rocks: RocksStores, tmp_path: Path) -> None:
    rocks.open(*OLD).close()
    (tmp_path / "app" / "default" / "clicks" / "0" / "CURRENT").write_text("nonsense\n")
    seen = rocks.look(OLD)
    assert seen is not None
    assert seen.size is None
