"""What one attempt changes in a store, on top of what earlier attempts left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from streamjobs.pipelines.quix import Marker, PartitionTransactionCache

__all__ = ("Overlay", "flat")

REMEMBERED: Final = 20_000
"""Changes that stay here at least; beyond that, those that the store has are forgotten."""

_Place = tuple[str, bytes]
"""A column family and a key of it."""

_Families = dict[str, bytes]


class _Prefixes(_Families):
    """What stands before the keys of a column family, made when it is first asked for."""

    def __missing__(self, family: str) -> bytes:
        # The default one has a range of its own as well, which some operators read as a whole.
        name = b"" if family == "default" else family.encode()
        prefix = self[family] = name + b"\0"
        return prefix


_PREFIXES: Final = _Prefixes()


def flat(family: str, key: bytes) -> bytes:
    """A key of one of Quix's column families, as a key of our store, which has only one."""
    return _PREFIXES[family] + key


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
        self._remembered: dict[_Place, bytes] = {}
        self._enough = REMEMBERED

    # What Quix calls.

    def get(self, key: bytes, prefix: bytes, cf_name: str = "default") -> bytes | Marker:
        """Quix's own makes room for every prefix that it is asked for, and keeps it."""
        if key in self._deleted[cf_name]:
            return Marker.DELETED
        of_prefix = self._updated[cf_name].get(prefix)
        return Marker.UNDEFINED if of_prefix is None else of_prefix.get(key, Marker.UNDEFINED)

    def set(self, key: bytes, value: bytes, prefix: bytes, cf_name: str = "default") -> None:
        place = (cf_name, key)
        if place not in self._before:
            self._before[place] = (prefix, self.get(key, prefix, cf_name))
        self._updated[cf_name][prefix][key] = value
        self._deleted[cf_name].discard(key)
        self._empty = False

    def delete(self, key: Any, prefix: bytes, cf_name: str = "default") -> None:
        place = (cf_name, key)
        if place not in self._before:
            self._before[place] = (prefix, self.get(key, prefix, cf_name))
        super().delete(key, prefix, cf_name)

    # What we call.

    def keep(self) -> dict[bytes, bytes | None]:
        """The attempt succeeded: what it changed, by our keys; None deletes."""
        before = self._before
        if not before:
            return {}
        changes: dict[bytes, bytes | None] = {}
        updated, remembered = self._updated, self._remembered
        for place, (prefix, _) in before.items():
            family, key = place
            changes[_PREFIXES[family] + key] = updated[family][prefix].get(key)
            remembered[place] = prefix
        self._before = {}
        if len(remembered) > self._enough:
            self._forget()
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

    def _forget(self) -> None:
        """All where the store answers as well. What stays has to double before the next time, so
        each change is looked at about once.
        """
        for place, prefix in list(self._remembered.items()):
            family, key = place
            value = self.get(key, prefix, family)
            if self._is_stored(flat(family, key), value if isinstance(value, bytes) else None):
                self._drop(family, key, prefix)
                del self._remembered[place]
        self._enough = max(REMEMBERED, 2 * len(self._remembered))

    def _drop(self, family: str, key: bytes, prefix: bytes) -> None:
        self._deleted[family].discard(key)
        of_prefix = self._updated[family].get(prefix)
        if of_prefix is not None:
            of_prefix.pop(key, None)
            if not of_prefix:
                del self._updated[family][prefix]
