"""What a slice knows of its app, in a worker process: as much of it as handlers see."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.route import Route
from streamjobs.execution.board import REVOKED, STOPPING
from streamjobs.execution.remote_state import RemoteStore
from streamjobs.record import Record

__all__ = ("Assignment", "Lane", "SavedCursors")


class Assignment:
    """Stands in for the generation."""

    __slots__ = ("_flag", "_flags", "cursors", "partition", "route", "stores")

    def __init__(
        self,
        partition: TopicPartition,
        route: Route,
        flags: memoryview,
        flag: int,
        cursors: SavedCursors,
        stores: Mapping[str, RemoteStore],
    ) -> None:
        self.partition = partition
        self.route = route
        self.cursors = cursors
        self.stores = stores
        self._flags = flags
        self._flag = flag

    @property
    def revoked(self) -> bool:
        """As of the generation."""
        return bool(self._flags[self._flag] & REVOKED)

    @property
    def stopping(self) -> bool:
        """As of the generation."""
        return bool(self._flags[self._flag] & STOPPING)

    @property
    def halted(self) -> bool:
        """As of the generation."""
        return bool(self._flags[self._flag])


class SavedCursors:
    """Stands in for the cursors of a generation: what is saved goes to the app at once."""

    def __init__(self, known: dict[int, bytes], send: Callable[[int, bytes], None]) -> None:
        self._known = known
        self._send = send

    def get(self, offset: int) -> bytes | None:
        """As of `Cursors`."""
        return self._known.get(offset)

    def save(self, record: Record, cursor: bytes) -> None:
        """As of `Cursors`."""
        self._known[record.offset] = cursor
        self._send(record.offset, cursor)


class Lane:
    """Stands in for the virtual partition."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index
