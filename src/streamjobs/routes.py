"""From declarations to routes: what the engine has to know about each topic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from streamjobs.context import Context
from streamjobs.engine.route import ExecutionKind, Invoke, OrderingKey, Route
from streamjobs.engine.slices import Slice
from streamjobs.errors import ConfigurationError, PipelineError, UndecodableRecordError
from streamjobs.failures.breaker import Breaker
from streamjobs.failures.letters import DeadLetter
from streamjobs.failures.policy import FailurePolicy, Handling
from streamjobs.handlers import HandlerOptions
from streamjobs.job_route import JobRoute, MixedJobRoute, WaitFor, carried_key
from streamjobs.jobs import Job
from streamjobs.partitioning import key_bytes
from streamjobs.pipelines.pipeline import Pipeline
from streamjobs.policies import VirtualPartitions
from streamjobs.record import Record
from streamjobs.state.changelog import changelog_topic
from streamjobs.streams import Stream
from streamjobs.wire import open_envelope

if TYPE_CHECKING:
    from streamjobs.app import App
    from streamjobs.pipelines.composing import Composed

__all__ = ("Topic",)


class Topic:
    """What an app declared for one topic: jobs that share it, one stream handler, or a pipeline.

    Args:
        name: the topic's.
        dead_letter: the app's default for where records go that are given up.
        breaker: the app's default for when too many are.
        app: whose it is.
    """

    def __init__(
        self,
        name: str,
        dead_letter: DeadLetter = DeadLetter(),  # noqa: B008  # a frozen value
        breaker: Breaker | None = None,
        app: App | None = None,
    ) -> None:
        self.name = name
        self.app = app
        self.jobs: dict[str, Job[..., Any]] = {}
        self.stream: Stream[..., Any] | None = None
        self.pipeline: Pipeline[..., Any] | None = None
        self.composed: Composed | None = None
        self._policy: VirtualPartitions | None = None
        self._dead_letter: DeadLetter | None = None
        self._breaker: Breaker | None = None
        self._default_breaker = breaker
        self._default_dead_letter = dead_letter

    def add_job(self, job: Job[..., Any]) -> None:
        """One more job on this topic.

        Raises:
            ConfigurationError: its name is taken, a stream handler has the topic, or what all
                jobs of a topic share differs from another job's.
        """
        if self.stream is not None:
            raise ConfigurationError(
                f"topic {self.name!r} has the stream handler {self.stream.name!r}; "
                f"give job {job.name!r} a topic of its own"
            )
        if job.name in self.jobs:
            raise ConfigurationError(
                f"there are two jobs {job.name!r} on topic {self.name!r}; give one a name="
            )
        if self.pipeline is not None:
            raise ConfigurationError(
                f"topic {self.name!r} has the pipeline {self.pipeline.name!r}; "
                f"give job {job.name!r} a topic of its own"
            )
        self._agree_on(job.options)
        self._refuse_what_state_cannot_have(job.options, job.name)
        self.jobs[job.name] = job

    def set_stream(self, stream: Stream[..., Any]) -> None:
        """The stream handler of this topic.

        Raises:
            ConfigurationError: the topic has jobs, or a stream handler already.
        """
        taken = self._taken_by
        if taken is not None:
            raise ConfigurationError(
                f"topic {self.name!r} is handled by {taken!r} already; one function can call "
                "both, or another App (another consumer group) can have the second"
            )
        self._agree_on(stream.options)
        self._refuse_what_state_cannot_have(stream.options, stream.name)
        self.stream = stream

    def set_pipeline(self, pipeline: Pipeline[..., Any], source: object) -> None:
        """A pipeline that reads this topic, or what its stream handler returns.

        Raises:
            ConfigurationError: the topic is handled by something else, or that handler cannot feed
                a pipeline.
        """
        if isinstance(source, Stream):
            self._feed(pipeline, source)
        elif self._taken_by is not None:
            raise ConfigurationError(
                f"pipeline {pipeline.name!r}: topic {self.name!r} is handled by "
                f"{self._taken_by!r} already; let one function build all, or another App (another "
                "consumer group) have the second"
            )
        else:
            self._agree_on(pipeline.options)
        self.pipeline = pipeline
        self._refuse_other_orders()

    def _feed(self, pipeline: Pipeline[..., Any], stream: Stream[..., Any]) -> None:
        if self.stream is not stream or self.pipeline is not None:
            raise ConfigurationError(
                f"pipeline {pipeline.name!r}: {stream.name!r} is no stream handler of this app, or "
                "feeds a pipeline already"
            )
        if stream.options.kind == "processes":
            raise ConfigurationError(
                f"pipeline {pipeline.name!r}: {stream.name!r} runs with process=True, and what it "
                "returns cannot flow into operators here. Let it write to a topic (to=...), and "
                "the pipeline read that"
            )
        stream.feeds_pipeline = True

    def compose(self, pipeline: Pipeline[..., Any], composed: Composed) -> None:
        """What a pipeline does with the records of this topic; it may be one that it made itself.

        Raises:
            ConfigurationError: it cannot keep its state in the order of the topic.
        """
        if composed.is_made:
            self._policy = pipeline.options.virtual_partitions
        self.pipeline, self.composed = pipeline, composed
        if composed.stores and self.virtual_partitions.ordering == "none":
            raise ConfigurationError(_no_order(pipeline.name))

    def _refuse_other_orders(self) -> None:
        """Operators keep state by the message key.

        Raises:
            PipelineError: the records are ordered by something else.
        """
        policy = self.virtual_partitions
        if self.pipeline is not None and policy.partitioner is not None and policy.count > 1:
            raise PipelineError(
                f"pipeline {self.pipeline.name!r}: the records of {self.name!r} are ordered by a "
                "partitioner, and operators keep their state by the message key: those of one key "
                "could overtake each other. Leave the partitioner out, take virtual_partitions=1, "
                "or write the records to a topic under that key first"
            )

    @property
    def _taken_by(self) -> str | None:
        """What handles its records already."""
        handler = self.stream or self.pipeline
        return next(iter(self.jobs), None) if handler is None else handler.name

    def _refuse_what_state_cannot_have(self, options: HandlerOptions, name: str) -> None:
        if not options.stores:
            return
        if self.virtual_partitions.ordering == "none":
            raise ConfigurationError(_no_order(name))

    def _agree_on(self, options: HandlerOptions) -> None:
        kinds = self._kinds | {options.kind}
        if "processes" in kinds and len(kinds) > 1:
            raise ConfigurationError(
                f"topic {self.name!r} has jobs with process=True and others without: give all of "
                "them process=True, or those that need it a topic of their own"
            )
        self._policy = self._shared(
            "split in two ways", "virtual partitions", self._policy, options.virtual_partitions
        )
        self._dead_letter = self._shared(
            "given two dead letters", "dead-letter topic", self._dead_letter, options.dead_letter
        )
        if self.dead_letter_topic == self.name:
            raise ConfigurationError(
                f"topic {self.name!r} is its own dead-letter topic: its letters would be attempted "
                "like records, for ever. Give DeadLetter another topic"
            )
        self._breaker = self._shared(
            "given two breakers", "breaker", self._breaker, options.breaker
        )

    def _shared(self, what: str, thing: str, before: Any, given: Any) -> Any:
        if before is not None and given is not None and before != given:
            raise ConfigurationError(
                f"topic {self.name!r} is {what}, {before} and {given}; "
                f"the jobs of one topic share its {thing}"
            )
        return before if given is None else given

    @property
    def virtual_partitions(self) -> VirtualPartitions:
        """How its partitions are split."""
        return self._policy or VirtualPartitions()

    @property
    def dead_letter(self) -> DeadLetter:
        """Where its records go that are given up."""
        return self._dead_letter or self._default_dead_letter

    @property
    def dead_letter_topic(self) -> str:
        """The topic they go to."""
        return self.dead_letter.topic_for(self.name)

    @property
    def breaker(self) -> Breaker | None:
        """When too many of its records are given up to go on."""
        return self._breaker or self._default_breaker

    @property
    def execution(self) -> ExecutionKind:
        """What runs its records: threads when its handlers are of several kinds."""
        kinds = self._kinds
        return kinds.pop() if len(kinds) == 1 else "threads"

    @property
    def handlers(self) -> Iterable[tuple[str, HandlerOptions]]:
        """Names and options of its handlers."""
        if self.stream is not None:
            return [(self.stream.name, self.stream.options)]
        if self.pipeline is not None:
            return [(self.pipeline.name, self._pipeline_options(self.pipeline))]
        return [(each.name, each.options) for each in self.jobs.values()]

    def _pipeline_options(self, pipeline: Pipeline[..., Any]) -> HandlerOptions:
        kind = self.composed.kind if self.composed is not None else None
        return pipeline.options if kind is None else replace(pipeline.options, kind=kind)

    @property
    def _kinds(self) -> set[ExecutionKind]:
        return {options.kind for _, options in self.handlers}

    @property
    def outputs(self) -> list[str]:
        """Topics it is known to write to."""
        outputs = [self.stream.to] if self.stream is not None and self.stream.to else []
        return outputs + list(self.composed.outputs if self.composed is not None else ())

    def _handler(
        self, record: Record
    ) -> Job[..., Any] | Stream[..., Any] | Pipeline[..., Any] | None:
        """What a record is for, if there is such a handler."""
        if self.stream is not None:
            return self.stream
        if self.pipeline is not None:
            return self.pipeline
        try:
            return self.jobs.get(open_envelope(record).job)
        except UndecodableRecordError:
            return None

    @property
    def stores(self) -> list[str]:
        """The names of the stores that its handlers declare, and of those of its operators."""
        declared = [name for _, each in self.handlers for name in each.stores]
        return list(dict.fromkeys([*declared, *(self.composed.stores if self.composed else ())]))

    def changelogs(self, group: str) -> dict[str, str]:
        """The changelog topic of each of its stores.

        Raises:
            ConfigurationError: a topic cannot have that name.
        """
        homes = self._homes
        return {
            store: changelog_topic(group, homes.get(store, self.name), store)
            for store in self.stores
        }

    @property
    def _homes(self) -> Mapping[str, str]:
        """The stores of its operators, and for each the topic whose store it is."""
        return {} if self.composed is None else self.composed.stores

    @property
    def is_made(self) -> bool:
        """Whether `group_by` made it."""
        return self.composed is not None and self.composed.is_made

    @property
    def together(self) -> frozenset[str]:
        """The topics that share stores and time with this one, itself included."""
        return frozenset() if self.composed is None else self.composed.together

    def route(
        self,
        wait_for: WaitFor,
        max_message_bytes: int,
        group: str,
        transactional: bool = False,
        topic_limits: Mapping[str, int] = MappingProxyType({}),
    ) -> Route:
        """Its route, for the engine; `topic_limits` are the bytes of the largest record, of topics
        that take less than the producer.
        """
        dead_letters = topic_limits.get(self.dead_letter_topic, max_message_bytes)
        return Route(
            topic=self.name,
            virtual_partitions=self.virtual_partitions,
            execution=self.execution,
            invoke=self._invoke(wait_for),
            ordering_key=self._ordering_key(),
            failures=FailurePolicy(
                self._handling,
                self.dead_letter,
                group,
                self._open_context,
                min(max_message_bytes, dead_letters),
            ),
            breaker=self.breaker,
            max_message_bytes=max_message_bytes,
            sequenced_by=self.dead_letter_topic if self.dead_letter.sequenced else None,
            changelogs=self.changelogs(group),
            transactional=transactional,
            topic_limits=topic_limits,
            app=self.app,
            downstream=None if self.composed is None else self.composed.downstream,
            together=self.together,
            homes=self._homes,
            handler=self._name_and_timeout,
        )

    def _name_and_timeout(self, record: Record) -> tuple[str, float | None]:
        handler = self._handler(record)
        return ("", None) if handler is None else (handler.name, handler.options.timeout)

    def _handling(self, record: Record) -> Handling:
        handler = self._handler(record)
        return Handling() if handler is None else handler.options.handling

    def _open_context(self, piece: Slice, index: int) -> Context:
        if self.stream is not None or self.pipeline is not None:
            return Context(piece, index)
        return JobRoute(self.jobs).open(piece, index)[1]

    def _ordering_key(self) -> OrderingKey | None:
        partitioner = self.virtual_partitions.partitioner
        if partitioner is not None:
            return lambda record: key_bytes(partitioner(record))
        return carried_key if self.jobs else None

    def _invoke(self, wait_for: WaitFor) -> Invoke:
        if self.composed is not None and self.composed.invoke is not None:
            return self.composed.invoke
        kinds = self._kinds
        target = self.stream if self.stream is not None else JobRoute(self.jobs)
        if kinds == {"asyncio"}:
            return target.invoke_async
        if "asyncio" not in kinds:
            return target.invoke
        assert isinstance(target, JobRoute)
        return MixedJobRoute(target, wait_for).invoke


def _no_order(name: str) -> str:
    return (
        f'{name}: ordering="none" keeps no order, and state needs one: records of a key could '
        "change it at the same time"
    )
