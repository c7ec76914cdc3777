"""Deletes what has expired: values that nobody asks for again would stay for ever."""

from __future__ import annotations

from typing import NamedTuple

from streamjobs.state.cache import WriteBackCache
from streamjobs.state.entries import has_expired

__all__ = ("Swept", "sweep")


class Swept(NamedTuple):
    """What one step did: how many values it deleted, and where the next one goes on.

    `position` None: the end was reached, the next begins anew.
    """

    deleted: int
    position: bytes | None


def sweep(cache: WriteBackCache, position: bytes | None, now: float, limit: int = 500) -> Swept:
    """Look at the next entries of a store, and delete those whose time is over.

    For the owner alone, between its other work. The deletions are merged like those of an attempt
    and go to the changelog with the next checkpoint. An attempt that runs meanwhile found such a
    value missing already, and what it sets is merged later.

    Args:
        cache: of the store.
        position: what the last step returned; None to begin.
        now: seconds since 1970.
        limit: how many entries to look at.

    Raises:
        StateError: the store cannot be read.
    """
    entries = cache.store.items(position, limit)
    expired = [key for key, value in entries if has_expired(value, now)]
    # The store may be behind: one that was set again since then lives.
    over = [key for key in expired if has_expired(cache.get(key) or b"", now)]
    cache.merge(dict.fromkeys(over))
    return Swept(len(over), entries[-1][0] if len(entries) == limit else None)
