"""The disk in memory: what a crash leaves, and what a lost machine does not."""

import pytest

from streamjobs.state.errors import StateClosedError
from streamjobs.state.memory import MemoryDisk, MemoryStores
from streamjobs.state.store import StoreId

CLICKS = StoreId("clicks", 0, "default")


def test_a_crash_leaves_what_was_written_and_nothing_more_comes() -> None:
    stores = MemoryStores("app")
    zombie = stores.open(*CLICKS)
    zombie.write({b"a": b"1"}, 5)
    stores.disk.crash()
    with pytest.raises(StateClosedError):
        zombie.write({b"a": b"2"}, 6)
    assert stores.open(*CLICKS).get(b"a") == b"1"


def test_a_lost_machine_leaves_nothing() -> None:
    stores = MemoryStores("app")
    stores.open(*CLICKS).write({b"a": b"1"}, 5)
    stores.disk.wipe()
    assert not stores.found()
    assert stores.open(*CLICKS).get(b"a") is None


def test_a_disk_is_shared_by_the_processes_of_a_machine() -> None:
    disk = MemoryDisk()
    MemoryStores("app", disk).open(*CLICKS).write({b"a": b"1"}, 5)
    disk.crash()
    assert MemoryStores("app", disk).open(*CLICKS).get(b"a") == b"1"


def test_a_crash_between_two_chunks_leaves_the_offset_of_before() -> None:
    disk = MemoryDisk(chunk_entries=2)
    stores = MemoryStores("app", disk)
    store = stores.open(*CLICKS)
    store.write({b"a": b"1"}, 5)
    chunks = iter([None, None, disk.crash])

    def crash_before_the_third() -> None:
        if act := next(chunks):
            act()

    disk.before_chunk = crash_before_the_third
    with pytest.raises(StateClosedError):
        store.write({b"%d" % number: b"2" for number in range(6)}, 9)
    again = stores.open(*CLICKS)
    assert again.changelog_offset == 5
    assert len(again.items(None, 10)) == 5
