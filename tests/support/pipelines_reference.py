"""What Quix Streams itself makes of a pipeline: one thread, no broker, its own stores on disk.
Nothing of streamjobs is in here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from quixstreams.context import set_message_context
from quixstreams.dataframe import DataFrameRegistry, StreamingDataFrame
from quixstreams.internal_producer import InternalProducer
from quixstreams.models import Topic, TopicConfig, TopicManager
from quixstreams.processing import ProcessingContext
from quixstreams.sinks import SinkManager
from quixstreams.state import StateStoreManager

__all__ = ("SOURCE", "MakeTopic", "Message", "Program", "Reference", "Written")

MakeTopic = Callable[[str], Topic]

Program = Callable[..., Any]
"""Builds a pipeline: takes its dataframes, one for each source, and what makes topics by name."""

SOURCE = "in"

COMMIT_EVERY = 4
"""Records of a checkpoint: what is older is read from disk, what is younger from memory."""


class Written(NamedTuple):
    """A record that goes in or came out; the timestamp is in milliseconds."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes], ...] = ()


class Reference:
    """A program, on Quix's own classes, put together as its `Application` does it. May run many
    times: each time all keys are new ones to it, so that no store has to be opened for it.

    Args:
        program: what to run.
        directory: for its stores.
        sources: the topics that its dataframes read.
    """

    def __init__(
        self, program: Program, directory: Path, sources: Sequence[str] = (SOURCE,)
    ) -> None:
        self._producer = _Producer()
        self._topics = TopicManager(_Admin(), "reference")  # type: ignore[arg-type]
        self._registry = DataFrameRegistry()
        self._state = StateStoreManager(group_id="reference", state_dir=directory)
        self._state.init()
        self._context = ProcessingContext(
            commit_interval=3600,
            producer=self._producer,
            consumer=_Consumer(),  # type: ignore[arg-type]
            state_manager=self._state,
            sink_manager=SinkManager(),  # type: ignore[no-untyped-call]
            dataframe_registry=self._registry,
        )
        program(*map(self._frame, sources), self._topics.topic)
        self._executors = self._registry.compose_all()
        self._offsets = dict.fromkeys(self._executors, -1)
        self._runs = 0
        self._assign()
        self._context.init_checkpoint()  # type: ignore[no-untyped-call]

    def _frame(self, source: str) -> StreamingDataFrame:
        frame = StreamingDataFrame(
            self._topics.topic(source),
            topic_manager=self._topics,
            registry=self._registry,
            processing_context=self._context,
        )
        self._registry.register_root(frame)
        return frame

    def run(self, records: Iterable[Written]) -> list[Written]:
        """Everything that the program writes to topics of its own, in order."""
        self._runs += 1
        tag = b"@%d" % self._runs
        self._producer.written.clear()
        for count, record in enumerate(records, 1):
            self._process(_tagged(record, tag))
            if count % COMMIT_EVERY == 0:
                self._context.commit_checkpoint(force=True)
        self._context.commit_checkpoint(force=True)
        written = [each for each in self._producer.written if each.topic not in self._executors]
        return [_untagged(each, tag) for each in written]

    def close(self) -> None:
        """Let go of the stores."""
        self._state.close()

    def _assign(self) -> None:
        streams = {
            stream for topic in self._executors for stream in self._registry.get_stream_ids(topic)
        }
        for stream in streams:
            self._state.on_partition_assign(stream, 0, {})

    def _process(self, record: Written) -> None:
        """One record, and what `group_by` makes of it."""
        pending = deque([record])
        while pending:
            before = len(self._producer.written)
            self._execute(pending.popleft())
            fresh = self._producer.written[before:]
            pending += [each for each in fresh if each.topic in self._executors]

    def _execute(self, record: Written) -> None:
        offset = self._offsets[record.topic] = self._offsets[record.topic] + 1
        rows = self._topics.non_changelog_topics[record.topic].row_deserialize(
            Message(record, offset)  # type: ignore[arg-type]
        )
        for row in rows if isinstance(rows, list) else [rows] if rows is not None else ():
            set_message_context(row.context)
            self._executors[record.topic](row.value, row.key, row.timestamp, row.headers)
        self._context.store_offset(record.topic, 0, offset)


class _Producer(InternalProducer):
    """Keeps what it should send."""

    def __init__(self) -> None:
        super().__init__("nowhere:9092")
        self.written: list[Written] = []

    def produce(self, topic: str, value: Any = None, key: Any = None, **more: Any) -> None:  # type: ignore[override]
        headers = more.get("headers") or ()
        pairs = headers.items() if isinstance(headers, dict) else headers
        found = tuple((name, _bytes(text) or b"") for name, text in pairs)
        timestamp = more["timestamp"]
        self.written.append(Written(topic, _bytes(key), _bytes(value), timestamp, found))

    def flush(self, timeout: float | None = None) -> int:
        return 0


class _Consumer:
    """Has nothing to say to a commit."""

    def commit(self, **_: Any) -> list[Any]:
        return []


class _Admin:
    """Every topic exists, with two partitions: with one, `group_by` needs no topic."""

    def inspect_topics(self, names: list[str], timeout: float = 0) -> dict[str, TopicConfig]:
        unlimited = {"retention.ms": "-1", "retention.bytes": "-1"}
        return {
            name: TopicConfig(num_partitions=2, replication_factor=1, extra_config=unlimited)
            for name in names
        }


class Message:
    """What confluent-kafka's consumer would return."""

    def __init__(self, record: Written, offset: int, partition: int = 0) -> None:
        self.record = record
        self._offset = offset
        self._partition = partition

    def topic(self) -> str:
        return self.record.topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self.record.key

    def value(self) -> bytes | None:
        return self.record.value

    def headers(self) -> list[tuple[str, bytes]]:
        return list(self.record.headers)

    def timestamp(self) -> tuple[int, int]:
        return 1, self.record.timestamp

    def leader_epoch(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self.record.value or b"")


def _tagged(record: Written, tag: bytes) -> Written:
    """The same record of a key that is in no store yet: its values say the key, too."""
    if record.key is None:
        return record
    who, value = b'"who":"%s' % record.key, record.value
    return record._replace(
        key=record.key + tag, value=value and value.replace(who + b'"', who + tag + b'"')
    )


def _untagged(record: Written, tag: bytes) -> Written:
    return record._replace(
        key=record.key and record.key.replace(tag, b""),
        value=record.value and record.value.replace(tag, b""),
    )


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
