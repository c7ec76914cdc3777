"""Reading state from outside of a handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.generation import Generation
from streamjobs.errors import StreamjobsError
from streamjobs.partitioning import key_bytes, partition_for
from streamjobs.state.cache import WriteBackCache
from streamjobs.state.errors import StateClosedError
from streamjobs.state.view import State

if TYPE_CHECKING:
    from streamjobs.app import App

__all__ = ("KeyElsewhereError", "Queries", "QueryError", "ReadOnlyState")


class QueryError(StreamjobsError):
    """A query that cannot be answered here and now; says why."""


class KeyElsewhereError(QueryError):
    """The key's partition is not in this process.

    Attributes:
        partition: where the key is.
        partitions: of the same topic, those that are here.
    """

    def __init__(self, message: str, partition: TopicPartition, partitions: list[int]) -> None:
        super().__init__(message)
        self.partition = partition
        self.partitions = partitions


class ReadOnlyState:
    """The state of one key, to be read. What is changed meanwhile shows in the next `get`.

    Args:
        get, exists: what answers.
    """

    def __init__(self, get: Callable[[str, Any], Any], exists: Callable[[str], bool]) -> None:
        self._get = get
        self._exists = exists

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or `default` if there is none or its `ttl` is over.

        Raises:
            StateError: it cannot be read, or its partition has gone meanwhile.
        """
        return self._get(name, default)

    def exists(self, name: str) -> bool:
        """Whether there is a value, be it None.

        Raises:
            StateError: as `get`.
        """
        return self._exists(name)


class Queries:
    """What a running process answers, in any thread.

    Args:
        app: whose.
        generations: the partitions that are here.
        partitions: how many a topic has.
    """

    def __init__(
        self,
        app: App,
        generations: Mapping[TopicPartition, Generation],
        partitions: Callable[[str], int],
    ) -> None:
        self._app = app
        self._generations = generations
        self._partitions = partitions

    def ask(self, store: str, key: Any, topic: str | None, partition: int | None) -> Any:
        """As `App.query` says.

        Raises:
            QueryError: it cannot be answered here and now; says why.
        """
        topic, name = self._find(store, topic)
        composed = self._app.topics[topic].composed
        if composed is not None and name in composed.stores:
            from streamjobs.pipelines.queries import PipelineStore

            found = PipelineStore(self._app.pipeline_host, topic, name)
            raw = found.raw_key(key)
            cache = self._cache(topic, name, key, raw, partition)
            try:
                return found.read(cache, key)
            except StateClosedError as error:
                raise QueryError(f"the partition of key {key!r} has gone: ask again") from error
        raw = _needed(key_bytes(key))
        state = State(raw, self._cache(topic, name, key, raw, partition).get, {})
        return ReadOnlyState(state.get, state.exists)

    def _find(self, store: str, topic: str | None) -> tuple[str, str]:
        """The topic and the full name of the store."""
        everything = [
            (each.name, name) for each in self._app.topics.values() for name in each.stores
        ]
        here = [each for each in everything if topic in (None, each[0])]
        exact = [each for each in here if each[1] == store]
        found = exact or [each for each in here if _may_mean(store, each[1])]
        if len(found) == 1:
            return found[0]
        if not found:
            known = ", ".join(f"{name!r} of {each!r}" for each, name in sorted(everything))
            raise QueryError(
                f"there is no store {store!r}{'' if topic is None else f' of {topic!r}'}; the "
                f"app has {known or 'none'}"
            )
        several = ", ".join(f"{name!r} of {each!r}" for each, name in sorted(found))
        raise QueryError(
            f"store {store!r} may be {several}: say which with its full name and topic="
        )

    def _cache(
        self, topic: str, store: str, key: Any, raw: bytes, partition: int | None
    ) -> WriteBackCache:
        number = partition_for(raw, self._partitions(topic)) if partition is None else partition
        place = TopicPartition(topic, number)
        generation = self._generations.get(place)
        if generation is None:
            here = sorted(each.partition for each in list(self._generations) if each.topic == topic)
            raise KeyElsewhereError(
                f"key {key!r} is in {place}, and this process has {here or 'none'} of that topic: "
                "ask the process that has it. (Where records are not put by Kafka's default "
                "partitioner, say partition=)",
                place,
                here,
            )
        cache = generation.stores.get(store)
        if cache is None:
            raise QueryError(f"store {store!r} of {place} is being restored: ask again in a moment")
        return cache


def _may_mean(asked: str, name: str) -> bool:
    """Whether this is a store's name without the stream before it, and without what Quix puts
    behind the name of a window.
    """
    own = name.rpartition(".")[2]
    return own == asked or own.startswith(f"{asked}_")


def _needed(key: bytes | None) -> bytes:
    if key is None:
        raise QueryError("state belongs to a key: ask for one")
    return key
