"""What one attempt changes in a store, on top of what earlier attempts left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from streamjobs.pipelines.quix import Marker, PartitionTransactionCache

__all__ = ("Overlay", "flat")

REMEMBERED: Final = 5_000
"""Changes that stay here at least; beyond that, those that the store has are forgotten."""

_Place = tuple[str, bytes]
"""A column family and a key of it."""


@lru_cache(maxsize=64)
def _family(name: str) -> bytes:
    return b"" if name == "default" else name.encode() + b"\0"


def flat(family: str, key: bytes) -> bytes:
    """A key of one of Quix's column families, as a key of our store, which has only one."""
    return _family(family) + key


class Overlay(PartitionTransactionCache):
    """Quix's cache of a transaction, which for us never ends: an attempt that succeeds hands over
    what it changed and leaves it readable here; one that fails takes it back.

    Args:
        is_stored: whether the store has this value (None: no value) under this key of ours, and
            nothing newer is on its way to it.
    """

    def __init__(self, is_stored: Callable[[bytes, bytes | None], bool]) -> None:
        super().__init__()
        self._is_stored = is_stored
        self._before: dict[_Place, tuple[bytes, bytes | Marker]] = {}
        self._remembered: deque[tuple[_Place, bytes]] = deque()

    # What Quix calls.

    def get(self, key: bytes, prefix: bytes, cf_name: str = "default") -> bytes | Marker:
        if key in self._deleted[cf_name]:
            return Marker.DELETED
        of_prefix = self._updated[cf_name].get(prefix)  # Quix would leave an entry for each prefix
        return Marker.UNDEFINED if of_prefix is None else of_prefix.get(key, Marker.UNDEFINED)

    def set(self, key: bytes, value: bytes, prefix: bytes, cf_name: str = "default") -> None:
        self._note(key, prefix, cf_name)
        super().set(key, value, prefix, cf_name)

    def delete(self, key: Any, prefix: bytes, cf_name: str = "default") -> None:
        self._note(key, prefix, cf_name)
        super().delete(key, prefix, cf_name)

    def _note(self, key: bytes, prefix: bytes, family: str) -> None:
        place = (family, key)
        if place not in self._before:
            self._before[place] = (prefix, self.get(key, prefix, family))

    # What we call.

    def keep(self) -> dict[bytes, bytes | None]:
        """The attempt succeeded: what it changed, by our keys; None deletes."""
        if not self._before:
            return {}
        before, self._before = self._before, {}
        changes: dict[bytes, bytes | None] = {}
        for (family, key), (prefix, _) in before.items():
            value = self.get(key, prefix, family)
            changes[flat(family, key)] = value if isinstance(value, bytes) else None
            self._remembered.append(((family, key), prefix))
        if len(self._remembered) > REMEMBERED:
            self._forget(2 * len(changes))
        return changes

    def undo(self) -> None:
        """The attempt failed: nothing of it is left."""
        before, self._before = self._before, {}
        for (family, key), (prefix, value) in before.items():
            self._drop(family, key, prefix)
            if value is Marker.DELETED:
                self._deleted[family].add(key)
            elif isinstance(value, bytes):
                self._updated[family][prefix][key] = value

    def _forget(self, count: int) -> None:
        """The oldest ones, where the store answers as well: a few at a time."""
        for _ in range(count):
            (family, key), prefix = entry = self._remembered.popleft()
            value = self.get(key, prefix, family)
            if value is Marker.UNDEFINED:
                continue  # forgotten already: it was here twice
            stored = value if isinstance(value, bytes) else None
            if self._is_stored(flat(family, key), stored):
                self._drop(family, key, prefix)
            else:
                self._remembered.append(entry)

    def _drop(self, family: str, key: bytes, prefix: bytes) -> None:
        self._deleted[family].discard(key)
        of_prefix = self._updated[family].get(prefix)
        if of_prefix is not None:
            of_prefix.pop(key, None)
            if not of_prefix:
                del self._updated[family][prefix]
