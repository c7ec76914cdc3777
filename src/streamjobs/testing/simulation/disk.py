"""Machines and their disks, which outlive the processes that use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.record import Record
from streamjobs.state.changelog import Changes
from streamjobs.state.memory import MemoryDisk, MemoryStorePartition, MemoryStores
from streamjobs.state.store import StoreId
from streamjobs.testing.history import Counts
from streamjobs.testing.simulation.cluster import ObservedCluster, count_into

__all__ = ("Machine", "ProcessStores")

CHUNK: Final = 2
"""Entries that are written at once: a process can die between two chunks."""


class Machine:
    """One of them; several processes may share it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.disk = MemoryDisk(CHUNK)

    def stores(self, cluster: ObservedCluster) -> Iterator[tuple[TopicPartition, Counts]]:
        """What each store that nobody has open holds, brought to the end of its changelog."""
        stores = MemoryStores("", self.disk)
        for topic, number, name in stores.found():
            place = TopicPartition(topic, number)
            store = stores.open(topic, number, name)
            counts: dict[str, int] = {}
            for key, value in store.items(None, 1_000_000):
                count_into(counts, key, value)
            reached = -1 if store.changelog_offset is None else store.changelog_offset
            for record in cluster.changelog(place):
                if record.offset > reached:
                    count_into(counts, record.key, record.value)
            store.close()
            yield place, tuple(sorted(counts.items()))


class ProcessStores(MemoryStores):
    """The stores that one process has open: let go of when it dies, in whichever way.

    Args:
        machine: where it runs.
        moment: called where the process may die.
        took: told which way a store was restored.
    """

    def __init__(
        self, machine: Machine, moment: Callable[[], None], took: Callable[[str], None]
    ) -> None:
        super().__init__("simulated", machine.disk)
        self._moment = moment
        self._took = took
        self._mine: list[_Store] = []

    def open(self, topic: str, partition: int, store: str) -> MemoryStorePartition:
        opened = _Store(self.disk, StoreId(topic, partition, store), self._moment, self._took)
        self._mine.append(opened)
        return opened

    def let_go(self) -> None:
        """The process is dead."""
        for store in self._mine:
            store.close()
        self._mine.clear()


class _Store(MemoryStorePartition):
    """Each write is a moment to die at."""

    def __init__(
        self,
        disk: MemoryDisk,
        store: StoreId,
        moment: Callable[[], None],
        took: Callable[[str], None],
    ) -> None:
        super().__init__(disk, store)
        self._moment = moment
        self._took = took
        self._way = "state restored" if self.changelog_offset is None else "state restored warm"

    def write(self, changes: Changes, changelog_offset: int | None) -> None:
        self._moment()
        super().write(changes, changelog_offset)
        self._moment()

    def restore(self, records: Sequence[Record]) -> None:
        super().restore(records)
        if records:
            self._took(self._way)

    def _apply(self, chunk: Changes) -> None:
        super()._apply(chunk)
        self._moment()
