"""How far long jobs have got: the cursors that handlers save with `ctx.checkpoint`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from streamjobs.broker.ports import TopicPartition
from streamjobs.record import Record

__all__ = ("Cursors", "Saved")


class Saved(NamedTuple):
    """A cursor to be written; None when its record is over."""

    record: Record
    cursor: bytes | None


class Cursors:
    """Those of one generation. Workers save, the owner does all else."""

    __slots__ = ("_by_offset", "_outgoing")

    def __init__(self) -> None:
        self._by_offset: dict[int, bytes] = {}
        self._outgoing: deque[Saved] = deque()

    def __bool__(self) -> bool:
        """Whether there is any, or anything to write."""
        return bool(self._by_offset or self._outgoing)

    def get(self, offset: int) -> bytes | None:
        """The latest cursor of the record at this offset."""
        return self._by_offset.get(offset)

    def save(self, record: Record, cursor: bytes) -> None:
        """Keep a cursor. From any thread."""
        self._by_offset[record.offset] = cursor
        self._outgoing.append(Saved(record, cursor))

    def load(self, cursors: Mapping[int, bytes]) -> None:
        """What an earlier owner saved."""
        self._by_offset.update(cursors)

    def forget(self, partition: TopicPartition, offsets: Iterable[int]) -> None:
        """These records are over."""
        for offset in offsets:
            if self._by_offset.pop(offset, None) is not None:
                self._outgoing.append(Saved(Record(*partition, offset), None))

    def take(self) -> list[Saved]:
        """What has to be written: of each record the latest only."""
        taken: dict[int, Saved] = {}
        while self._outgoing:
            saved = self._outgoing.popleft()
            taken[saved.record.offset] = saved
        return list(taken.values())
