"""What an app is made of, as plain data: for those who draw it, print it or compare it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from streamjobs.engine.route import ExecutionKind
from streamjobs.policies import Distribution, Ordering

if TYPE_CHECKING:
    from streamjobs.app import App
    from streamjobs.jobs import Job
    from streamjobs.pipelines.composing import Composed
    from streamjobs.routes import Topic
    from streamjobs.streams import Stream

__all__ = (
    "AppDescription",
    "Handler",
    "Splitting",
    "Stage",
    "Store",
    "TopicDescription",
    "describe",
)

HandlerKind = Literal["job", "stream", "pipeline"]


@dataclass(frozen=True, slots=True)
class Stage:
    """The function of a parallel stage, and what it runs on."""

    name: str
    runs: ExecutionKind


@dataclass(frozen=True, slots=True)
class Handler:
    """What handles the records of a topic.

    Attributes:
        name: as logs have it.
        kind: what it was declared as.
        runs: on what; a pipeline's operators run "inline", one record after the other.
        parallel: the parallel stage in the middle of a pipeline, if it has one.
        writes: the topics that it is known to write to; `ctx.emit` and `enqueue` may name others.
        stores: the names of the stores that it may use.
        sinks: what kinds of sinks a pipeline writes to.
        tables: the topics of the tables that a pipeline looks up; functions may read others.
    """

    name: str
    kind: HandlerKind
    runs: ExecutionKind
    parallel: Stage | None
    writes: Sequence[str]
    stores: Sequence[str]
    sinks: Sequence[str] = ()
    tables: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Store:
    """State, and the topic that has its changes."""

    name: str
    changelog: str


@dataclass(frozen=True, slots=True)
class Splitting:
    """How each partition is split."""

    count: int
    distribution: Distribution
    ordering: Ordering


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic that the app reads.

    Attributes:
        name: the topic's.
        repartition: whether `group_by` makes it.
        handlers: in the order in which its records pass them.
        virtual_partitions: how its partitions are split.
        stores: the state kept by its records.
        together: the other topics with which it shares stores and time.
        dead_letter: where its records go that are given up.
    """

    name: str
    repartition: bool
    handlers: Sequence[Handler]
    virtual_partitions: Splitting
    stores: Sequence[Store]
    together: Sequence[str]
    dead_letter: str


@dataclass(frozen=True, slots=True)
class AppDescription:
    """An app.

    Attributes:
        app: its name, which is its consumer group's.
        topics: those whose records it handles.
        tables: the topics that every process reads as tables.
    """

    app: str
    topics: Sequence[TopicDescription]
    tables: Sequence[str]


def describe(app: App) -> AppDescription:
    """What an app declares. Pipelines are built for it; no broker is asked.

    Raises:
        ConfigurationError: a pipeline cannot be built; says why.
    """
    topics = [_topic(topic, app.name) for topic in app.topics.values()]
    return AppDescription(app.name, topics, [*app.tables])


def _topic(topic: Topic, group: str) -> TopicDescription:
    policy, composed = topic.virtual_partitions, topic.composed
    return TopicDescription(
        name=topic.name,
        repartition=composed is not None and composed.is_made,
        handlers=_handlers(topic),
        virtual_partitions=Splitting(policy.count, policy.distribution, policy.ordering),
        stores=[Store(*each) for each in topic.changelogs(group).items()],
        together=sorted(topic.together - {topic.name}),
        dead_letter=topic.dead_letter_topic,
    )


def _handlers(topic: Topic) -> list[Handler]:
    handlers = [_handler(job, "job", []) for job in topic.jobs.values()]
    stream = topic.stream
    if stream is not None:
        handlers.append(_handler(stream, "stream", [stream.to] if stream.to else []))
    if topic.pipeline is not None and topic.composed is not None:
        handlers.append(_pipeline(topic.pipeline.name, topic.composed))
    return handlers


def _handler(
    declared: Job[..., Any] | Stream[..., Any], kind: HandlerKind, writes: list[str]
) -> Handler:
    options = declared.options
    return Handler(declared.name, kind, options.kind, None, writes, list(options.stores))


def _pipeline(name: str, built: Composed) -> Handler:
    stage = None
    if built.stage is not None and built.kind is not None:
        stage = Stage(built.stage, built.kind)
    return Handler(
        name,
        "pipeline",
        "inline",
        stage,
        list(built.outputs),
        list(built.stores),
        list(built.sinks),
        list(built.tables),
    )
