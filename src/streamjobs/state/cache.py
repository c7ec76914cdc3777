"""Changes between the merge of an attempt and the flush to the store of its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamjobs.state.changelog import Changes
from streamjobs.state.store import CHUNK_ENTRIES, StorePartition, chunks

__all__ = ("Cut", "WriteBackCache")

ENTRY_BYTES: Final = 200
"""What Python needs for an entry, beside the bytes of its key and value."""


class Cut:
    """The changes of one checkpoint.

    Attributes:
        changes: the last value of each key that changed; None deletes.
        bytes: about how much memory they take.
    """

    __slots__ = ("bytes", "changes")

    def __init__(self) -> None:
        self.changes: dict[bytes, bytes | None] = {}
        self.bytes = 0

    def merge(self, changes: Changes) -> None:
        """Later changes go over earlier ones."""
        mine, size = self.changes, self.bytes
        for key, value in changes.items():
            if key in mine:
                size -= len(mine[key] or b"")
            else:
                size += len(key) + ENTRY_BYTES
            size += len(value or b"")
            mine[key] = value
        self.bytes = size


class WriteBackCache:
    """One store of one partition, with what was merged and is not in it yet.

    The owner alone calls everything but `get`, which any thread may call at any time without a
    lock: a change is put where it can be found before it is taken away from where it was.

    Cuts are flushed in the order in which they were taken.

    Args:
        store: what is behind it.
        clean_bytes: about how much memory flushed values may take, that are kept for further
            reads. Keys that are read were mostly written lately.
    """

    def __init__(self, store: StorePartition, clean_bytes: int = 8 * 1024 * 1024) -> None:
        self.store = store
        self._dirty = Cut()
        self._cuts: tuple[Cut, ...] = ()
        self._clean = _Clean(clean_bytes)

    def get(self, key: bytes) -> bytes | None:
        """The value as it was merged last; None if there is none. From any thread.

        Raises:
            StateError: the store cannot be read; StateClosedError if it was closed.
        """
        # From the newest to the oldest, each looked at after the one its changes go on to.
        changes = self._dirty.changes
        if key in changes:
            return changes[key]
        cuts = self._cuts
        for cut in reversed(cuts) if cuts else ():
            if key in cut.changes:
                return cut.changes[key]
        clean = self._clean.holding(key)
        return self.store.get(key) if clean is None else clean[key]

    def is_pending(self, key: bytes) -> bool:
        """Whether a change of this key is merged and not in the store yet. From the owner only."""
        return key in self._dirty.changes or any(key in cut.changes for cut in self._cuts)

    def pending(self) -> Iterator[bytes]:
        """The keys whose changes are merged and maybe not in the store yet. From any thread, and
        before it looks into the store: so a change that goes there meanwhile is found.
        """
        yield from list(self._dirty.changes)  # in one go: the owner changes it meanwhile
        for cut in reversed(self._cuts):
            yield from list(cut.changes)

    def merge(self, changes: Changes) -> None:
        """What a successful attempt changed."""
        self._dirty.merge(changes)

    def take(self) -> Cut:
        """What was merged since the last cut; it stays readable until it is flushed."""
        cut = self._dirty
        self._cuts = (*self._cuts, cut)
        self._dirty = Cut()
        return cut

    def flush(self, cut: Cut, changelog_offset: int | None) -> None:
        """Write the oldest cut to the store, now that its changes are committed.

        Args:
            cut: what `take` returned.
            changelog_offset: of the last of its records in the changelog; None if it has none.

        Raises:
            StateError: the disk does not do its part. Only `drop` helps then: the store may hold
                some of the changes, which is for the changelog to mend.
        """
        for _ in self.flushing(cut, changelog_offset):
            pass

    def flushing(
        self, cut: Cut, changelog_offset: int | None, entries: int = CHUNK_ENTRIES
    ) -> Iterator[int]:
        """The same piece by piece, of at most so many entries; yields how many were written. The
        cut stays readable until the last one is, which alone carries the offset.
        """
        if not self._cuts or self._cuts[0] is not cut:
            raise ValueError("only the oldest cut can be flushed")
        if cut.changes or changelog_offset is not None:
            last: Changes = {}
            for piece in chunks(cut.changes, entries):
                if last:
                    self.store.write(last, None)
                    yield len(last)
                last = piece
            self.store.write(last, changelog_offset)
            yield len(last)
        self._clean.keep(cut)
        self._cuts = self._cuts[1:]

    def drop(self) -> None:
        """Forget all that is not in the store: nothing of it was committed."""
        self._dirty, self._cuts = Cut(), ()
        self._clean.clear()

    @property
    def dirty(self) -> int:
        """How many changes wait to be flushed."""
        return sum(len(cut.changes) for cut in (self._dirty, *self._cuts))

    @property
    def bytes(self) -> int:
        """About how much memory they take."""
        return sum(cut.bytes for cut in (self._dirty, *self._cuts))

    @property
    def uncut_bytes(self) -> int:
        """The same of those that were merged since the last cut."""
        return self._dirty.bytes


class _Clean:
    """Values that the store has as well: two halves, of which the older goes as a whole.

    Only the owner puts values in, after a flush. If readers did, with what they read from the
    store, one that is late could put a value over a newer one.
    """

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._young = Cut()
        self._old = Cut()

    def holding(self, key: bytes) -> Changes | None:
        """The half that has this key."""
        # By now the old half may be the young one of before: then the key is looked up in the
        # store, or found in it; a value that is out of date is never found.
        young = self._young.changes
        if key in young:
            return young
        old = self._old.changes
        return old if key in old else None

    def keep(self, cut: Cut) -> None:
        """What was flushed just now."""
        if cut.bytes > self._half:
            self.clear()  # it may hold older values of the same keys
        elif self._young.bytes + cut.bytes > self._half:
            self._old, self._young = self._young, cut
        else:
            self._young.merge(cut.changes)

    def clear(self) -> None:
        self._old, self._young = Cut(), Cut()
