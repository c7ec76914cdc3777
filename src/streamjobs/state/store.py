"""What the rest of state asks of a store. The adapters are `memory` and `rocks`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from streamjobs.record import Record
from streamjobs.state.changelog import Changes, changes_of

__all__ = ("Seen", "StoreId", "StorePartition", "StoreSize", "Stores", "chunks")

CHUNK_ENTRIES: Final = 1000
CHUNK_BYTES: Final = 256 * 1024
"""What is written at once: RocksDB keeps the GIL meanwhile, about 0.5 ms for either."""


class StoreId(NamedTuple):
    """One named store of one partition of one topic."""

    topic: str
    partition: int
    store: str

    def __str__(self) -> str:
        return f"{self.store} of {self.topic}[{self.partition}]"


class StoreSize(NamedTuple):
    """About how much a store holds."""

    entries: int
    bytes: int


class Seen(NamedTuple):
    """What can be known of a store without opening it.

    Attributes:
        size: about how much it holds: entries, and bytes on the disk. None where it is damaged, or
            has just changed: somebody works with it.
        used: when it was last, in seconds since 1970.
        is_open: whether somebody has it open, in this process or another.
    """

    size: StoreSize | None
    used: float
    is_open: bool


class StorePartition(Protocol):
    """One store of one partition: keys and values, and how far into the changelog they reach.

    One owner writes; any thread may read meanwhile. None of the methods waits for a network.
    Any raises StateClosedError after `close`, and StateError where the disk does not do its part.
    """

    @property
    @abstractmethod
    def changelog_offset(self) -> int | None:
        """The offset of the last changelog record that is in here: recovery reads on behind it.
        None if none is.

        The store may hold some of what comes after it (a process died between two chunks of a
        write); applied again, that makes no difference.
        """

    @abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """The value; None if there is none. From any thread."""

    @abstractmethod
    def items(self, after: bytes | None, limit: int) -> Sequence[tuple[bytes, bytes]]:
        """The next entries behind this key (None: from the first), by the order of their keys."""

    @abstractmethod
    def scan(
        self, first: bytes, end: bytes | None, backwards: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """The entries from `first` on, and before `end` (None: to the last one), by the order of
        their keys or against it. Close it, or read it to its end, before the store is closed.
        """

    @abstractmethod
    def write(self, changes: Changes, changelog_offset: int | None) -> None:
        """Apply changes, chunk by chunk; each is there as a whole or not at all.

        Only the last one sets the changelog offset; None leaves that as it is. Success does not
        mean that a machine that loses its power keeps it: the changelog does.
        """

    def restore(self, records: Sequence[Record]) -> None:
        """Apply records of the changelog, in the order of their offsets.

        Raises:
            StateForeignError: one is of another kind of store.
        """
        if records:
            self.write(changes_of(records), records[-1].offset)

    @abstractmethod
    def size(self) -> StoreSize:
        """About how much it holds; cheap."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it, so that another process can open it. A second time does nothing."""

    @abstractmethod
    def destroy(self) -> None:
        """Close it and delete what it holds."""


class Stores(Protocol):
    """The stores of one app on one machine."""

    @abstractmethod
    def changelog_topic(self, topic: str, store: str) -> str:
        """The topic that has the changes of this store.

        Raises:
            ConfigurationError: no topic can have that name.
        """

    @abstractmethod
    def open(self, topic: str, partition: int, store: str) -> StorePartition:
        """Open a store, or make it. Takes tens of milliseconds, and never waits for a lock.

        Raises:
            StateLockedError: another process has it open; it may let go of it soon.
            StateCorruptedError: its files are damaged; `destroy` it, then restore.
            StateDirectoryError: the directory cannot be written.
            StateForeignError: it is written in a way that `ctx.state` cannot read.
        """

    @abstractmethod
    def found(self) -> Sequence[StoreId]:
        """The stores there are here, open or not."""

    @abstractmethod
    def look(self, store: StoreId) -> Seen | None:
        """What can be seen of a store from outside; None if there is none. Reads the whole log of
        one that was not closed: tens of milliseconds.
        """

    @abstractmethod
    def used(self, store: StoreId) -> float:
        """When it was last, in seconds since 1970, at a glance; now if there is none."""

    @abstractmethod
    def destroy(self, store: StoreId) -> bool:
        """Delete a store that nobody has open; False if there is none.

        Raises:
            StateLockedError: somebody has it open.
        """


def chunks(
    changes: Changes, entries: int = CHUNK_ENTRIES, size: int = CHUNK_BYTES
) -> Iterator[dict[bytes, bytes | None]]:
    """The changes in pieces of at most so many entries and about so many bytes; the last may be
    empty.
    """
    chunk: dict[bytes, bytes | None] = {}
    filled = 0
    for key, value in changes.items():
        chunk[key] = value
        filled += len(key) + len(value or b"")
        if filled >= size or len(chunk) >= entries:
            yield chunk
            chunk, filled = {}, 0
    yield chunk
