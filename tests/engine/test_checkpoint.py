"""Checkpoints: state and progress in one transaction, and what becomes of one that goes wrong."""

import pytest

from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.checkpoint import Checkpoint
from streamjobs.engine.generation import Generation
from streamjobs.engine.route import Route
from streamjobs.errors import TransactionError
from streamjobs.policies import VirtualPartitions
from streamjobs.state.cache import WriteBackCache
from streamjobs.state.errors import StateError
from streamjobs.state.memory import MemoryDisk, MemoryStores
from tests.support.engine import nothing

CHANGELOG = "changes"


class Desk:
    """One partition with a store, and a checkpoint."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster({"in": 1, CHANGELOG: 1}, blocking=False)
        broker = MemoryBroker(self.cluster)
        self.checkpoint = Checkpoint(lambda: broker.transactions("id", 10.0, {}))
        self.disk = MemoryDisk()
        changelogs = {"default": CHANGELOG}
        route = Route("in", VirtualPartitions(), "inline", nothing, changelogs=changelogs)
        self.generation = Generation(TopicPartition("in", 0), route, 0)
        store = MemoryStores("group", self.disk).open("in", 0, "default")
        self.cache = self.generation.stores["default"] = WriteBackCache(store)

    def written(self) -> list[bytes | None]:
        return [each.value for each in self.cluster.log(CHANGELOG, 0).records]


def test_without_a_group_no_progress_is_committed_and_no_state_is_seen() -> None:
    desk = Desk()
    desk.generation.dirty = True
    desk.cache.merge({b"k": b"1"})
    with pytest.raises(TransactionError):
        desk.checkpoint.commit([desk.generation], None)
    desk.checkpoint.abort()
    assert desk.cache.store.get(b"k") is None
    assert desk.written() == []


def test_what_a_disk_does_not_take_is_committed_all_the_same_and_not_twice() -> None:
    desk = Desk()

    def fail() -> None:
        raise StateError("the disk is full")

    desk.disk.before_chunk = fail
    desk.cache.merge({b"k": b"1"})
    with pytest.raises(StateError, match="full"):
        desk.checkpoint.commit([desk.generation], None)
    assert desk.cache.dirty == 0

    desk.checkpoint.commit([desk.generation], None)
    assert desk.written() == [b"1"]


def test_nothing_to_commit_opens_no_transaction() -> None:
    desk = Desk()
    assert desk.checkpoint.commit([desk.generation], None) == {}
    assert not desk.checkpoint.begun
