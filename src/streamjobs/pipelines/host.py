"""What stands where Quix's `Application` would: operators write to it while an attempt runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from xxhash import xxh3_64_hexdigest

from streamjobs.broker.ports import Message
from streamjobs.engine.effects import Effects
from streamjobs.engine.generation import Generation
from streamjobs.engine.slices import Slice
from streamjobs.errors import PipelineError
from streamjobs.pipelines.frame import Frame
from streamjobs.pipelines.parallel import ParallelStage
from streamjobs.pipelines.quix import (
    BaseSink,
    DataFrameRegistry,
    MessageContext,
    ProcessingContext,
    Row,
    Stream,
    StreamingDataFrame,
    Topic,
    set_message_context,
)
from streamjobs.pipelines.topics import OfflineTopics
from streamjobs.pipelines.transactions import (
    Aggregates,
    Plain,
    StoreTransaction,
    Timestamped,
    View,
    Windowed,
)
from streamjobs.state.cache import WriteBackCache

__all__ = ("Host", "Store")

READABLE = 60
"""Characters of a stream's name that the name of its store takes over."""

_UNSET: Any = object()


_Opened = tuple[str, StoreTransaction]
"""What we call a store, and Quix's transaction over it."""


class Store(NamedTuple):
    """A store that an operator asked for."""

    stream_id: str
    name: str
    open: Callable[[View], Any]


class Host:
    """Runs operators, one record at a time: Quix's are not made for several threads. The owner
    calls them, and workers do for what stands before a parallel stage.

    Args:
        group: the app's name.

    Attributes:
        registry, topics: Quix's, of all pipelines of the app.
        stores: what operators asked for, by stream and name.
        sinks: Quix's sinks that operators write to.
        parallel: by topic, its parallel stage, and the operators behind it.
        together: by topic, those that it shares stores and time with, itself included.
    """

    def __init__(self, group: str) -> None:
        self.registry = DataFrameRegistry()
        self.topics = OfflineTopics(group)
        self.stores: dict[tuple[str, str], Store] = {}
        self.sinks: dict[int, BaseSink] = {}
        self.parallel: dict[str, tuple[ParallelStage, Stream]] = {}
        self.together: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()
        self._context = ProcessingContext(
            commit_interval=0,
            producer=self,  # type: ignore[arg-type]
            consumer=None,  # type: ignore[arg-type]
            state_manager=self,  # type: ignore[arg-type]
            sink_manager=self,  # type: ignore[arg-type]
            dataframe_registry=self.registry,
        )
        self._context._checkpoint = self  # type: ignore[assignment]
        self._transactions: WeakKeyDictionary[WriteBackCache, Any] = WeakKeyDictionary()
        self._opened: WeakKeyDictionary[Generation, dict[tuple[str, str], _Opened]]
        self._opened = WeakKeyDictionary()
        self._here: dict[tuple[str, str], _Opened] = {}
        self._touched: list[_Opened] = []
        self._piece: Slice | None = None
        self._generation: Generation
        self._effects: Effects | None = None

    def dataframe(self, topic: Topic, stream_id: str | None = None) -> StreamingDataFrame:
        """The records of a topic, for the operators of a pipeline."""
        frame = self._frame(topic, stream_id)
        self.registry.register_root(frame)
        return frame

    def _frame(self, topic: Topic, stream_id: str | None) -> StreamingDataFrame:
        return Frame(
            topic,
            stream_id=stream_id,
            topic_manager=self.topics,
            registry=self.registry,
            processing_context=self._context,
        )

    def add_parallel(self, frame: StreamingDataFrame, stage: ParallelStage) -> StreamingDataFrame:
        """Let the values of a dataframe flow into a parallel stage; returns what comes out.

        Raises:
            PipelineError: it cannot stand there.
        """
        name = frame.topics[0].name
        if len(frame.topics) > 1:
            raise PipelineError(
                f"parallel stage {stage.name!r}: its values come from several topics, and no order "
                "is kept between those. Put it before the join, or behind a topic of its own"
            )
        if name in self.parallel:
            raise PipelineError(
                f"parallel stage {stage.name!r}: {name!r} has {self.parallel[name][0].name!r} "
                "already. Call both in one function, or let a topic stand between"
            )
        if any(stream_id == frame.stream_id for stream_id, _ in self.stores):
            raise PipelineError(
                f"parallel stage {stage.name!r}: there is state before it, which a value that "
                "fails in it would have changed already. Keep state behind it, or let a topic "
                "stand between"
            )
        frame.update(self._flow_on, metadata=True)
        behind = self._frame(frame.topics[0], f"{frame.stream_id}.{stage.name}")
        self.parallel[name] = stage, behind.stream
        return behind

    def _flow_on(self, value: Any, key: Any, timestamp: int, headers: Any) -> None:
        effects = self._now()
        if effects.flows is None:
            effects.flows = []
        effects.flows.append((value, key, timestamp, headers))

    # -- attempts ----------------------------------------------------------------------------

    def attempt(self, piece: Slice, index: int, run: Callable[[], None]) -> Effects | None:
        """Run the operators on one record; what they did, or nothing of it if they raise."""
        with self._lock:
            return self._attempt(piece, index, run)

    def _attempt(self, piece: Slice, index: int, run: Callable[[], None]) -> Effects | None:
        record = piece.records[index]
        if piece is not self._piece:
            self._piece, self._generation = piece, piece.generation
            self._here = self._opened.setdefault(piece.generation, {})
        self._effects = None
        set_message_context(
            MessageContext(record.topic, record.partition, record.offset, record.size)
        )
        try:
            run()
        except BaseException:
            for _, transaction in self._touched:
                transaction.undo()
            self._touched.clear()
            raise
        for store, transaction in self._touched:
            changes = transaction.keep()
            if changes:
                self._now().changes[store] = changes
        self._touched.clear()
        return self._effects

    def _now(self) -> Effects:
        if self._effects is None:
            self._effects = Effects()
        return self._effects

    def store_name(self, stream_id: str, store: str, topic: str) -> str:
        """What we call a store of Quix's. Part of a topic's name, so it may not be long."""
        if stream_id == topic and topic not in self.together:
            return store
        if len(stream_id) <= READABLE:
            return f"{stream_id}.{store}"
        return f"{xxh3_64_hexdigest(stream_id.encode())}.{store}"

    # -- Quix's producer ---------------------------------------------------------------------

    def produce_row(
        self,
        row: Row,
        topic: Topic,
        key: Any = _UNSET,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> None:
        """What `to_topic` and `group_by` write."""
        written = topic.row_serialize(row, row.key if key is _UNSET else key)
        value = _bytes(written.value, topic, "value")
        headers = written.headers.items() if isinstance(written.headers, dict) else written.headers
        message = Message(
            topic.name,
            value,
            _bytes(written.key, topic, "key"),
            [(name, _bytes(text, topic, "header")) for name, text in headers] if headers else (),
            partition,
            timestamp,
        )
        self._generation.route.refuse_too_large(message)
        self._now().emits.append(message)

    # -- Quix's checkpoint -------------------------------------------------------------------

    def get_store_transaction(
        self, stream_id: str, partition: int, store_name: str = "default"
    ) -> Any:
        """The store of the record's partition."""
        opened = self._here.get((stream_id, store_name))
        if opened is None:
            opened = self._here[stream_id, store_name] = self._open(stream_id, store_name)
        if opened not in self._touched:
            self._touched.append(opened)
        return opened[1]

    def _open(self, stream_id: str, store_name: str) -> _Opened:
        """One for each cache: topics that are joined share both."""
        generation = self._generation
        name = self.store_name(stream_id, store_name, generation.route.topic)
        cache = generation.stores[name]
        transaction = self._transactions.get(cache)
        if transaction is None:
            opened = self.stores[stream_id, store_name].open(View(cache))
            transaction = self._transactions[cache] = opened
        return name, transaction

    # -- Quix's state manager ----------------------------------------------------------------

    def register_store(
        self,
        stream_id: str,
        store_name: str = "default",
        store_type: Any = None,
        changelog_config: Any = None,
    ) -> None:
        """For `stateful=True`."""
        self.stores.setdefault((stream_id, store_name), Store(stream_id, store_name, Plain))

    def register_aggregates(self, stream_id: str, name: str) -> None:
        """For `count`, `reduce` and `aggregate`."""
        self._add(Store(stream_id, name, Aggregates))

    def register_windowed_store(
        self, stream_id: str, store_name: str, changelog_config: Any = None
    ) -> None:
        """For windows."""
        self._add(Store(stream_id, store_name, Windowed))

    def register_timestamped_store(
        self,
        stream_id: str,
        store_name: str,
        grace_ms: int,
        keep_duplicates: bool,
        changelog_config: Any = None,
    ) -> None:
        """For joins."""

        def open_store(view: View) -> Timestamped:
            return Timestamped(view, grace_ms, keep_duplicates)

        self._add(Store(stream_id, store_name, open_store))

    def _add(self, store: Store) -> None:
        place = (store.stream_id, store.name)
        if place in self.stores:
            raise PipelineError(
                f"two operators on {store.stream_id!r} would share the store {store.name!r}: give "
                "one of them a name="
            )
        self.stores[place] = store

    # -- Quix's sink manager -----------------------------------------------------------------

    def register(self, sink: BaseSink) -> None:
        """A sink that operators write to."""
        self.sinks[id(sink)] = sink

    def put(
        self, sink: BaseSink, value: Any, key: Any, timestamp: int, headers: Any, offset: int
    ) -> None:
        """This goes to a sink when the attempt is merged."""
        effects = self._now()
        if effects.sinks is None:
            effects.sinks = []
        effects.sinks.append((sink, value, key, timestamp, headers, offset))


def _bytes(written: Any, topic: Topic, what: str) -> bytes | None:
    """What a serializer made. Quix's "bytes" lets through whatever it gets."""
    if written is None or type(written) is bytes:
        return written
    if isinstance(written, str):
        return written.encode()
    if isinstance(written, bytes | bytearray | memoryview):
        return bytes(written)
    raise TypeError(
        f"the {what} of a record for {topic.name!r} is {written!r}, which is neither bytes nor "
        f'text: app.topic({topic.name!r}, {what}_serializer="json") writes it as JSON'
    )
