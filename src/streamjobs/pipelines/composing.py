"""From the functions of an app's pipelines to what the engine runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from streamjobs.engine.route import ExecutionKind
from streamjobs.errors import ConfigurationError, PipelineError
from streamjobs.pipelines.captured import captured
from streamjobs.pipelines.decoding import rows_of
from streamjobs.pipelines.host import Host
from streamjobs.pipelines.lookups import TableLookup
from streamjobs.pipelines.parallel import Parallel
from streamjobs.pipelines.partition_wide import refuse_what_is_partition_wide
from streamjobs.pipelines.pipeline import Pipeline, Source
from streamjobs.pipelines.quix import BaseSink, Stream, StreamingDataFrame, Topic
from streamjobs.pipelines.stage import Executor, Flow, Inline
from streamjobs.streams import Stream as StreamHandler

__all__ = ("Composed", "Composer")


@dataclass(frozen=True, slots=True)
class Composed:
    """What a pipeline does with the records of one topic.

    Attributes:
        topic: which one.
        kind: what runs its attempts; None where that is a stream handler's business.
        invoke: an attempt; None likewise.
        downstream: what runs on the owner when the handler or the parallel stage is done.
        stores: the names of their stores, and for each the topic whose store it is.
        together: the topics that share stores and time with this one, itself included; none where
            it stands alone.
        outputs: the topics that they write to.
        is_made: whether `group_by` made the topic.
        stage: the name of its parallel stage, if it has one.
        sinks: what kinds of sinks they write to.
        tables: the topics of the tables that they look up.
    """

    topic: str
    kind: ExecutionKind | None
    invoke: Callable[..., Any] | None
    downstream: Flow | None
    stores: dict[str, str]
    together: frozenset[str]
    outputs: Sequence[str]
    is_made: bool
    stage: str | None = None
    sinks: Sequence[str] = ()
    tables: Sequence[str] = ()


class Composer:
    """Builds the pipelines of one app.

    Args:
        group: the app's name.
    """

    def __init__(self, group: str) -> None:
        self.host = Host(group)

    def topic(self, name: str, **options: Any) -> Topic:
        """A topic for `to_topic`, or with deserializers of its own for a source."""
        return self.host.topics.topic(name, **options)

    def compose(self, pipeline: Pipeline[..., Any], alone: bool) -> list[Composed]:
        """Call the function of a pipeline; what it built, for each topic.

        Args:
            pipeline: whose.
            alone: whether its records run one after the other, so that the partition's time is
                the time of each.

        Raises:
            PipelineError: virtual partitions cannot run it; says why, and what to do.
            ConfigurationError: the function raised.
        """
        registry = self.host.registry
        before = set(registry._registry)
        frames = [self._frame(pipeline, source) for source in pipeline.sources]
        try:
            pipeline.function(*frames)
        except (ConfigurationError, MemoryError):
            raise
        except Exception as error:
            raise ConfigurationError(
                f"pipeline {pipeline.name!r} cannot be built: {type(error).__name__}: {error}"
            ) from error
        roots = {name: root for name, root in registry._registry.items() if name not in before}
        self._join(roots)
        handled = {source.topic for source in pipeline.sources if isinstance(source, StreamHandler)}
        return [
            self._composed(pipeline, name, root, name in handled, alone)
            for name, root in roots.items()
        ]

    def _frame(self, pipeline: Pipeline[..., Any], source: Source) -> StreamingDataFrame:
        if isinstance(source, StreamHandler):
            return self.host.dataframe(
                self.topic(source.topic), stream_id=f"{source.topic}.{pipeline.name}"
            )
        topic = self.topic(source) if isinstance(source, str) else source
        return self.host.dataframe(topic)

    def _composed(
        self,
        pipeline: Pipeline[..., Any],
        topic: str,
        root: Stream,
        handled: bool,
        alone: bool,
    ) -> Composed:
        host = self.host
        stage = host.parallel.get(topic)
        parts = [root] if stage is None else [root, stage[1]]
        if not alone:
            for part in parts:
                refuse_what_is_partition_wide(pipeline.name, part)
        held = [each for part in parts for each in captured(part)]
        execute = _executor(root)
        rows = rows_of(host.topics.non_changelog_topics[topic])
        kind: ExecutionKind | None = "inline"
        invoke: Callable[..., Any] | None = Inline(host, rows, execute)
        downstream = None
        if handled:
            kind, invoke, downstream = None, None, Flow(host, execute)
        if stage is not None:
            handler, behind = stage
            if handled:
                raise PipelineError(
                    f"pipeline {pipeline.name!r}: {handler.name!r} would be a second parallel "
                    "stage on the same records, behind a stream handler: call it in there, or let "
                    "a topic stand between"
                )
            kind = handler.kind
            invoke = Parallel(host, rows, execute, handler).invoke
            downstream = Flow(host, _executor(behind))
        return Composed(
            topic,
            kind,
            invoke,
            downstream,
            self._stores(topic),
            host.together.get(topic, frozenset()),
            sorted({each.name for each in held if isinstance(each, Topic)}),
            topic in host.topics.repartition_topics,
            None if stage is None else stage[0].name,
            sorted({type(each).__name__ for each in held if isinstance(each, BaseSink)}),
            sorted({each.topic for each in held if isinstance(each, TableLookup)}),
        )

    def _stores(self, topic: str) -> dict[str, str]:
        """Those of the topic's streams; of topics that are joined, those of all of them."""
        host, registry = self.host, self.host.registry
        together = host.together.get(topic, frozenset({topic}))
        streams = {stream for each in together for stream in registry.get_stream_ids(each)}
        return {
            host.store_name(stream_id, name, topic): min(together)
            for stream_id, name in host.stores
            if stream_id in streams
        }

    def _join(self, topics: Iterable[str]) -> None:
        """Find out which topics a stream of several brings together."""
        registry = self.host.registry
        for topic in topics:
            found: set[str] = {topic}
            seen: set[str] = set()
            while fresh := found - seen:
                seen |= fresh
                streams = [stream for each in fresh for stream in registry.get_stream_ids(each)]
                found |= {each for s in streams for each in registry.get_topics_for_stream_id(s)}
            if len(found) > 1:
                self.host.together[topic] = frozenset(found)


def _executor(root: Stream) -> Executor:
    executor: Executor = root.compose()[root]
    return executor
