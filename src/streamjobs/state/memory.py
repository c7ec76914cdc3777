"""Stores in memory, for tests and the simulation: their disk outlives the processes that use it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from streamjobs.state.changelog import Changes, changelog_topic
from streamjobs.state.errors import StateClosedError, StateLockedError
from streamjobs.state.store import Seen, StoreId, StorePartition, Stores, StoreSize, chunks

__all__ = ("MemoryDisk", "MemoryStorePartition", "MemoryStores")


class MemoryDisk:
    """The disk of one machine.

    Attributes:
        before_chunk: called before each chunk of a write; it may raise, or crash the disk.
        chunk_entries: how many entries are written at once.
        wall: seconds since 1970.
    """

    def __init__(self, chunk_entries: int = 1000, wall: Callable[[], float] = time.time) -> None:
        self.wall = wall
        self.before_chunk: Callable[[], None] = lambda: None
        self.chunk_entries = chunk_entries
        self._contents: dict[StoreId, _Contents] = {}
        self._open: dict[StoreId, MemoryStorePartition] = {}

    def crash(self) -> None:
        """The processes die: what they have written stays, and they write nothing more."""
        for store in list(self._open.values()):
            store.close()

    def wipe(self) -> None:
        """The machine is lost, with all that is on its disk."""
        self.crash()
        self._contents.clear()


class _Contents:
    __slots__ = ("changelog_offset", "used", "values")

    def __init__(self) -> None:
        self.used = 0.0
        self.values: dict[bytes, bytes] = {}
        self.changelog_offset: int | None = None

    @property
    def size(self) -> StoreSize:
        values = self.values
        return StoreSize(len(values), sum(len(key) + len(values[key]) for key in values))


class MemoryStores(Stores):
    """The stores of one app on one disk.

    Args:
        group: the app's name.
        disk: where they are; a new one if left out.
    """

    def __init__(self, group: str, disk: MemoryDisk | None = None) -> None:
        self.group = group
        self.disk = disk or MemoryDisk()

    def changelog_topic(self, topic: str, store: str) -> str:
        return changelog_topic(self.group, topic, store)

    def open(self, topic: str, partition: int, store: str) -> MemoryStorePartition:
        return MemoryStorePartition(self.disk, StoreId(topic, partition, store))

    def found(self) -> Sequence[StoreId]:
        return sorted(self.disk._contents)

    def look(self, store: StoreId) -> Seen | None:
        contents = self.disk._contents.get(store)
        if contents is None:
            return None
        return Seen(contents.size, self.used(store), store in self.disk._open)

    def used(self, store: StoreId) -> float:
        contents = self.disk._contents.get(store)
        if contents is None or store in self.disk._open:
            return self.disk.wall()
        return contents.used

    def destroy(self, store: StoreId) -> bool:
        if store not in self.disk._contents:
            return False
        self.open(*store).destroy()
        return True


class MemoryStorePartition(StorePartition):
    """A dict on a disk.

    Raises:
        StateLockedError: somebody has it open.
    """

    def __init__(self, disk: MemoryDisk, store: StoreId) -> None:
        if store in disk._open:
            raise StateLockedError(f"the store {store} is open already")
        disk._open[store] = self
        self._disk = disk
        self._id = store
        self._at: _Contents | None = disk._contents.setdefault(store, _Contents())

    @property
    def changelog_offset(self) -> int | None:
        return self._contents.changelog_offset

    def get(self, key: bytes) -> bytes | None:
        return self._contents.values.get(key)

    def items(self, after: bytes | None, limit: int) -> Sequence[tuple[bytes, bytes]]:
        entries = sorted(self._contents.values.items())
        return [entry for entry in entries if after is None or entry[0] > after][:limit]

    def scan(
        self, first: bytes, end: bytes | None, backwards: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        values = self._contents.values
        keys = [key for key in list(values) if first <= key and (end is None or key < end)]
        for key in sorted(keys, reverse=backwards):
            if (value := values.get(key)) is not None:  # another thread may write meanwhile
                yield key, value

    def write(self, changes: Changes, changelog_offset: int | None) -> None:
        for chunk in chunks(changes, self._disk.chunk_entries):
            self._disk.before_chunk()
            self._apply(chunk)
        if changelog_offset is not None:
            self._contents.changelog_offset = changelog_offset

    def _apply(self, chunk: Changes) -> None:
        values = self._contents.values
        for key, value in chunk.items():
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value

    def size(self) -> StoreSize:
        return self._contents.size

    def close(self) -> None:
        if self._at is not None:
            self._at.used = self._disk.wall()
            self._at = None
            del self._disk._open[self._id]

    def destroy(self) -> None:
        self.close()
        self._disk._contents.pop(self._id, None)

    @property
    def _contents(self) -> _Contents:
        if self._at is None:
            raise StateClosedError(f"the store {self._id} is closed")
        return self._at
