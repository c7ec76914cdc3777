"""A store as the attempts of one slice see it: found once a slice, not once a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from streamjobs.engine.route import OrderingKey
    from streamjobs.engine.slices import Slice

__all__ = ("StoreView", "view_of")


class StoreView(NamedTuple):
    """What an attempt needs of a store.

    Attributes:
        store: its name; None where the handlers of the topic have no such store.
        ordering_key: of a record; None for the message key.
        read: the value of a key, before this attempt.
        now: seconds since 1970.
        max_message_bytes: the most that a record of its changelog may have.
    """

    store: str | None
    ordering_key: OrderingKey | None
    read: Callable[[bytes], bytes | None]
    now: Callable[[], float]
    max_message_bytes: int


def view_of(piece: Slice, name: str | None) -> StoreView:
    """The store that attempts of this slice ask for; None asks for the first one."""
    route = piece.generation.route
    store = name or next(iter(route.changelogs), "")
    if store not in route.changelogs:
        return StoreView(None, None, _nothing, route.wall, 0)
    limit = route.largest(route.changelogs[store])
    return StoreView(store, route.ordering_key, _reader_of(piece, store), route.wall, limit)


def _reader_of(piece: Slice, store: str) -> Callable[[bytes], bytes | None]:
    """Earlier attempts of the same slice first, then what is merged, then the store."""
    earlier = piece.changes.setdefault(store, {})
    merged = piece.generation.stores[store].get

    def read(key: bytes) -> bytes | None:
        return earlier[key] if key in earlier else merged(key)

    return read


def _nothing(key: bytes) -> None:
    return None
