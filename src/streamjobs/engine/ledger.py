"""Which offsets of one assigned partition are complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from streamjobs.engine import completion_map
from streamjobs.engine.completion_map import Runs

__all__ = ("Frozen", "Ledger", "Progress")

_TRIM: Final = 1 << 16
_NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})


class Frozen(NamedTuple):
    """What to commit, taken in one call from one structure."""

    frontier: int
    metadata: str


class Progress(NamedTuple):
    """What is complete at one moment: all below the frontier, and these runs above it."""

    frontier: int
    runs: Runs

    def encoded(self, fields: Mapping[str, str] = _NO_FIELDS) -> Frozen:
        """The same as a commit takes it, with further fields of the metadata."""
        return Frozen(self.frontier, completion_map.encode(self.frontier, self.runs, fields))


class Ledger:
    """Registers offsets as they are dispatched and takes their completion in any order.

    One byte an offset between two sentinels: `1` for what lies below, `0` for what is not read
    yet. All that is asked often is then one search in C: the frontier is the first zero.

    Args:
        frontier: the offset the group committed: everything below is complete.
        completed: runs which are complete already (a completion map). They may begin below the
            frontier: retention can move that past them.
    """

    __slots__ = ("_done", "_head", "_shift", "next", "pending")

    def __init__(self, frontier: int, completed: Runs = ()) -> None:
        self._done = bytearray(b"\x01\x00")
        self._head = 1
        self._shift = frontier - 1
        self.next = frontier
        """The lowest offset that has not been seen."""
        self.pending = 0
        """Offsets that are registered and not complete."""
        for start, length in completed:
            low, high = max(start, frontier) - self._shift, start + length - self._shift
            if high > low:
                self._stretch(start + length)
                self._done[low:high] = b"\x01" * (high - low)
        self._advance()

    @property
    def frontier(self) -> int:
        """The lowest offset that is not complete: the one to commit."""
        return self._head + self._shift

    def register(self, offsets: Sequence[int]) -> Sequence[int]:
        """Take ascending offsets into account; returns those which have to run.

        Left out are offsets seen before (a record delivered twice) and complete ones (the map
        of the owner before us). Offsets that are missing in between hold no record: a log has
        gaps where it was compacted and where transactions ended.
        """
        first, last = offsets[0], offsets[-1]
        end = last + 1
        dense = first == self.next and end - first == len(offsets)
        if dense and end - self._shift >= len(self._done):
            known = len(self._done) - 1 + self._shift
            self._stretch(end)
            if known <= first:
                self.next = end
                self.pending += len(offsets)
                return offsets
        return self._register_each(offsets)

    def _register_each(self, offsets: Iterable[int]) -> Sequence[int]:
        fresh: list[int] = []
        for offset in offsets:
            if offset < self.next:
                continue
            if offset > self.next:
                self._skip_to(offset, nothing_is_open=not (self.pending or fresh))
            self._stretch(offset + 1)
            if not self._done[offset - self._shift]:
                fresh.append(offset)
            self.next = offset + 1
        self.pending += len(fresh)
        self._advance()
        return fresh

    def complete(self, offsets: Iterable[int]) -> None:
        """These registered offsets are done, dead-lettered or discarded, once and for all."""
        done, shift, count = self._done, self._shift, 0
        for offset in offsets:
            done[offset - shift] = 1
            count += 1
        self.pending -= count
        self._advance()

    def is_complete(self, offset: int) -> bool:
        """Whether this offset is complete, by itself or because it lies below the frontier."""
        return offset < self.frontier or (
            offset - self._shift < len(self._done) and bool(self._done[offset - self._shift])
        )

    def fits(self, offsets: Sequence[int]) -> int:
        """How many of these may be registered so that the map is sure to fit into the metadata,
        in whatever order records complete. The first one always does, when nothing is pending:
        then the frontier moves up to it.
        """
        frontier = self.frontier if self.pending else max(self.frontier, offsets[0])
        if offsets[-1] - frontier < completion_map.BITSET_SPAN:
            return len(offsets)
        taken, runs = 0, self._runs_at_most()
        for offset in offsets:
            span = offset + 1 - frontier
            # Alone in a gap, a new offset can end up as a run with the gap as another one.
            runs += 2
            if span >= completion_map.BITSET_SPAN and (
                span > completion_map.MAX_SPAN or runs > completion_map.runs_capacity(span)
            ):
                break
            taken += 1
        return taken

    def runs(self) -> Iterator[tuple[int, int]]:
        """Complete offsets above the frontier as (start, length)."""
        done, shift = self._done, self._shift
        start = done.find(1, self._head)
        while start >= 0:
            stop = done.find(0, start)
            yield start + shift, stop - start
            start = done.find(1, stop)

    def freeze(self, fields: Mapping[str, str] = _NO_FIELDS) -> Frozen:
        """The frontier and the completion map of this moment, to be committed together; with
        further fields of the metadata.
        """
        return self.progress().encoded(fields)

    def progress(self) -> Progress:
        """What is complete at this moment."""
        return Progress(self.frontier, list(self.runs()))

    def _runs_at_most(self) -> int:
        """Runs there can ever be, if what is pending completes in the worst order."""
        return self._done.count(b"\x00\x01", self._head) + self.pending

    def _skip_to(self, offset: int, nothing_is_open: bool) -> None:
        """The offsets from `next` to `offset` hold no record: as good as complete."""
        if nothing_is_open and offset - self._shift >= len(self._done):
            # Begin anew there instead of filling a hole of any size.
            self._done = bytearray(b"\x01\x00")
            self._shift, self._head = offset - 1, 1
            return
        self._stretch(offset)
        low, high = max(self.next - self._shift, 1), offset - self._shift
        if high > low:
            self._done[low:high] = b"\x01" * (high - low)

    def _stretch(self, end: int) -> None:
        """Make room for the offsets below `end`; the last byte stays a zero."""
        self._done.extend(bytes(max(0, end - self._shift + 1 - len(self._done))))

    def _advance(self) -> None:
        self._head = self._done.find(0, self._head)
        if self._head > _TRIM and self._head * 2 > len(self._done):
            cut = self._head - 1
            del self._done[:cut]
            self._head = 1
            self._shift += cut
