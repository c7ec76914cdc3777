"""Reading the stores of operators from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamjobs.partitioning import key_bytes
from streamjobs.pipelines.aggregations import AGGREGATE
from streamjobs.pipelines.captured import captured
from streamjobs.pipelines.host import Host, Store
from streamjobs.pipelines.overlay import flat
from streamjobs.pipelines.quix import (
    BytesDeserializer,
    MessageField,
    SerializationContext,
    Window,
)
from streamjobs.pipelines.transactions import Aggregates, Plain, View, Windowed
from streamjobs.queries import QueryError, ReadOnlyState
from streamjobs.state.cache import WriteBackCache

__all__ = ("PipelineStore",)


class PipelineStore:
    """A store of a pipeline's operators.

    Args:
        host: of the pipelines.
        topic: whose records it is kept for.
        name: what we call it.
    """

    def __init__(self, host: Host, topic: str, name: str) -> None:
        self._host = host
        self._topic = host.topics.non_changelog_topics[topic]
        self._is_made = topic in host.topics.repartition_topics
        self._name = name
        self._store: Store = next(
            store
            for store in host.stores.values()
            if host.store_name(store.stream_id, store.name, topic) == name
        )

    def raw_key(self, key: Any) -> bytes:
        """The key as Kafka has it."""
        topic = self._topic
        if key is None:
            raise QueryError("the state of a pipeline belongs to a key: ask for one")
        if self._is_made:
            context = SerializationContext(topic.name, MessageField.KEY)
            written: Any = topic._key_serializer(key, context)
            return written.encode() if isinstance(written, str) else bytes(written)
        return key_bytes(key) or b""

    def read(self, cache: WriteBackCache, key: Any) -> Any:
        """The aggregate of a key, its windows, or the state of its operator.

        Raises:
            QueryError: this kind of store cannot be queried.
        """
        if type(self._topic._key_deserializer) is BytesDeserializer:
            key = key_bytes(key)
        view = _Merged(cache)
        kind = self._store.open
        if kind is Aggregates:
            return Aggregates(view).as_state(key).get(AGGREGATE)
        if kind is Plain:
            state = Plain(view).as_state(key)
            return ReadOnlyState(state.get, state.exists)
        if kind is Windowed:
            return self._windows(Windowed(view), key)
        raise QueryError(f"store {self._name!r} belongs to a join, which has nothing to show")

    def _windows(self, transaction: Windowed, key: Any) -> list[dict[str, Any]]:
        """As Quix would emit them now, the earliest first."""
        window = self._window()
        is_sliding = type(window).__name__.startswith("Sliding")
        prefix = transaction.as_state(prefix=key)._prefix
        found = []
        for (start, end), value, _ in transaction.iter_windows(prefix):
            collected = []
            if window.collect:
                collected = transaction.get_from_collection(start, end + is_sliding, prefix)
            aggregated = value[1] if is_sliding else value
            found.append(window._results(aggregated, collected, start, end))
        return found

    def _window(self) -> Window:
        host, store = self._host, self._store
        roots = [
            *host.registry._registry.values(),
            *(behind for _, behind in host.parallel.values()),
        ]
        for root in roots:
            for each in captured(root):
                if isinstance(each, Window) and _is_of(each, store) and _has_time(each):
                    return each
        raise QueryError(f"store {self._name!r} belongs to windows that count, which have no times")


def _is_of(window: Window, store: Store) -> bool:
    return (window._dataframe.stream_id, window.name) == (store.stream_id, store.name)


def _has_time(window: Window) -> bool:
    return hasattr(window, "_closing_strategy")


class _Merged(View):
    """A store and all that is merged and not in it yet, as any thread may read it."""

    def __init__(self, cache: WriteBackCache) -> None:
        super().__init__(cache)
        self._merged = cache

    def iter_items(
        self,
        lower_bound: bytes,
        upper_bound: bytes | None = None,
        backwards: bool = False,
        cf_name: str = "default",
    ) -> Iterator[tuple[bytes, bytes]]:
        cache, family = self._merged, flat(cf_name, b"")
        first = family + lower_bound
        end = family + upper_bound if upper_bound is not None else family[:-1] + b"\1"
        keys = {key for key in cache.pending() if first <= key < end}
        keys |= {key for key, _ in cache.store.scan(first, end)}
        for key in sorted(keys, reverse=backwards):
            value = cache.get(key)
            if value is not None:
                yield key[len(family) :], value
