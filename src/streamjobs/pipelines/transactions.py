"""Quix's transactions of a partition, over our stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import ref

from streamjobs.errors import PipelineError
from streamjobs.pipelines.overlay import Overlay, flat
from streamjobs.pipelines.quix import (
    Cache,
    Marker,
    PartitionTransactionCache,
    PartitionTransactionStatus,
    RocksDBPartitionTransaction,
    TimestampedPartitionTransaction,
    WindowedRocksDBPartitionTransaction,
    deserialize,
    dumps,
    loads,
    serialize,
)
from streamjobs.state.errors import StateNeedsKeyError

if TYPE_CHECKING:
    from streamjobs.state.cache import WriteBackCache

__all__ = ("Aggregates", "Plain", "StoreTransaction", "Timestamped", "View", "Windowed")

CACHED: Final = 50_000
"""Timestamps, by key, that one transaction keeps decoded."""


class View:
    """A store, as Quix's transactions read it: what they wrote themselves they know."""

    uses_ttl_stamps: ClassVar[bool] = False
    _ttl_stamped_reads_unflagged: ClassVar[bool] = False  # Quix looks whether it has to migrate

    def __init__(self, cache: WriteBackCache) -> None:
        # The host keeps transactions, with their views, only for as long as there is the cache.
        self._weak = ref(cache)

    @property
    def _cache(self) -> WriteBackCache:
        cache = self._weak()
        assert cache is not None  # its generation has it, and that is what runs
        return cache

    def get(self, key: bytes, cf_name: str = "default") -> bytes | Marker:
        value = self._cache.get(flat(cf_name, key))
        return Marker.UNDEFINED if value is None else value

    def exists(self, key: bytes, cf_name: str = "default") -> bool:
        return self._cache.get(flat(cf_name, key)) is not None

    def iter_items(
        self,
        lower_bound: bytes,
        upper_bound: bytes | None = None,
        backwards: bool = False,
        cf_name: str = "default",
    ) -> Iterator[tuple[bytes, bytes]]:
        family = flat(cf_name, b"")
        end = _after(family) if upper_bound is None else family + upper_bound
        for key, value in self._cache.store.scan(family + lower_bound, end, backwards):
            yield key[len(family) :], value

    def iter_keys(self, cf_name: str = "default") -> Iterator[bytes]:
        for key, _ in self.iter_items(b"", cf_name=cf_name):
            yield key

    def is_stored(self, key: bytes, value: bytes | None) -> bool:
        """Whether the store has it, and nothing newer is on its way there."""
        cache = self._cache
        return not cache.is_pending(key) and cache.store.get(key) == value


def _after(family: bytes) -> bytes:
    """The first key behind those of a column family."""
    return family[:-1] + b"\1"


class StoreTransaction:
    """What ours do besides: one for each store of a generation, for all of its attempts."""

    _counter: int | None
    _update_cache: PartitionTransactionCache

    _serialize_key: Callable[[Any, bytes], bytes]

    def _take_over(self, view: View) -> None:
        self._view = view
        self._update_cache = self._overlay = Overlay(view.is_stored)
        self._caches = [each for each in vars(self).values() if isinstance(each, Cache)]
        self._counted: int | None = None

    # Quix's own do the same, and look at each step whether the transaction is still open, and
    # whether the store has yet to change over to times to live: half of what a record takes.

    def get(
        self,
        key: Any,
        prefix: bytes,
        default: Any = None,
        cf_name: str = "default",
        timestamp: int | None = None,
    ) -> Any:
        """The value, or the default."""
        data = self._get_bytes(key, prefix, cf_name)
        if data is Marker.DELETED or data is Marker.UNDEFINED:
            return default
        return deserialize(data, loads)

    def set(
        self,
        key: Any,
        value: Any,
        prefix: bytes,
        cf_name: str = "default",
        timestamp: int | None = None,
        ttl: timedelta | None = None,
    ) -> None:
        """Keep a value."""
        self.set_bytes(key, serialize(value, dumps), prefix, cf_name, timestamp, ttl)

    def set_bytes(
        self,
        key: Any,
        value: bytes,
        prefix: bytes,
        cf_name: str = "default",
        timestamp: int | None = None,
        ttl: timedelta | None = None,
    ) -> None:
        """Keep a value that is bytes already."""
        if ttl is not None:
            raise PipelineError(
                "state.set(ttl=...) inside of a pipeline has a clock that is the whole "
                "partition's: here keys run ahead of each other, and one would let the values of "
                "another expire. Use a stream handler's ctx.state, whose ttl belongs to the value"
            )
        self._overlay.set(self._serialize_key(key, prefix), value, prefix, cf_name)

    def _get_bytes(
        self, key: Any, prefix: bytes, cf_name: str = "default", timestamp: int | None = None
    ) -> Any:
        place = self._serialize_key(key, prefix)
        found = self._overlay.get(place, prefix, cf_name)
        return self._view.get(place, cf_name) if found is Marker.UNDEFINED else found

    def keep(self) -> dict[bytes, bytes | None]:
        """The attempt succeeded: what it changed."""
        if self._counter != self._counted:
            self._persist_counter()  # type: ignore[attr-defined]  # Quix's
            self._counted = self._counter
        for cache in self._caches:
            if len(cache.values) > CACHED:
                cache.values.clear()
        return self._overlay.keep()

    def undo(self) -> None:
        """The attempt failed: nothing of it is left."""
        self._overlay.undo()
        self._status = PartitionTransactionStatus.STARTED  # a value may not have been serializable
        self._counter = self._counted
        for cache in self._caches:
            cache.values.clear()


class Plain(StoreTransaction, RocksDBPartitionTransaction):
    """Of `apply(stateful=True)` and the like."""

    def __init__(self, view: View) -> None:
        RocksDBPartitionTransaction.__init__(self, view, dumps, loads)  # type: ignore[arg-type]
        self._take_over(view)

    def as_state(self, prefix: Any = b"", timestamp: int | None = None) -> Any:
        if prefix is None:
            raise StateNeedsKeyError(
                "this record has no key, and the state of a pipeline belongs to one: give it a "
                "key where it is written, or filter such records out before"
            )
        return super().as_state(prefix, timestamp)


class Aggregates(Plain):
    """Of `count`, `reduce` and `aggregate`: one entry for each key."""


class Windowed(StoreTransaction, WindowedRocksDBPartitionTransaction):
    """Of windows."""

    def __init__(self, view: View) -> None:
        WindowedRocksDBPartitionTransaction.__init__(
            self,
            view,  # type: ignore[arg-type]
            dumps,
            loads,
        )
        self._take_over(view)


class Timestamped(StoreTransaction, TimestampedPartitionTransaction):
    """Of joins. What has been in the store longer than its grace goes when its key has a new
    value, not at the commit: so it does not depend on when that is.
    """

    def __init__(self, view: View, grace_ms: int, keep_duplicates: bool) -> None:
        TimestampedPartitionTransaction.__init__(
            self,
            view,  # type: ignore[arg-type]
            dumps,
            loads,
            grace_ms,
            keep_duplicates,
        )
        self._take_over(view)

    def set_for_timestamp(self, timestamp: int, value: Any, prefix: Any) -> None:
        super().set_for_timestamp(timestamp, value, prefix)
        prefix = self._ensure_bytes(prefix)
        end = self._serialize_key(self._get_min_eligible_timestamp(prefix), prefix)
        begin = self._serialize_key(b"", prefix)
        late = [key for key in self._update_cache.get_updates().get(prefix, {}) if key < end]
        late += [key for key, _ in self._partition.iter_items(begin, end)]
        for key in late:
            self._update_cache.delete(key, prefix)
