"""The app: what a module declares, and what a process runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar
from weakref import WeakSet

from streamjobs import logs
from streamjobs.broker.connect import connect
from streamjobs.broker.ports import Broker
from streamjobs.calls import Partitioner
from streamjobs.context_travel import ContextTravel
from streamjobs.cursor_log import CURSORS_SUFFIX
from streamjobs.errors import ConfigurationError
from streamjobs.exit_codes import ExitCode
from streamjobs.failures.breaker import Breaker
from streamjobs.failures.letters import DeadLetter
from streamjobs.failures.policy import Handling, OnFailure
from streamjobs.failures.retry import Retry
from streamjobs.handlers import (
    HandlerOptions,
    check_policies,
    execution_kind,
    store_names,
    virtual_partitions_policy,
)
from streamjobs.jobs import Job
from streamjobs.middleware import Around, Middleware
from streamjobs.pipelines.pipeline import Pipeline, source_topic
from streamjobs.policies import PartitionKeyType, VirtualPartitions
from streamjobs.publisher import Publisher, Topics
from streamjobs.routes import Topic
from streamjobs.settings import Resolved, Settings, resolve
from streamjobs.streams import Stream
from streamjobs.tables import Table

if TYPE_CHECKING:
    from quixstreams.models import Topic as QuixTopic

    from streamjobs.pipelines.composing import Composer
    from streamjobs.pipelines.host import Host
    from streamjobs.pipelines.sinks import PipelineSinks
    from streamjobs.queries import Queries
    from streamjobs.runtime import Runtime

__all__ = ("App",)

P = ParamSpec("P")
R = TypeVar("R")


APPS: Final[WeakSet[App]] = WeakSet()
"""All apps there are here: a worker process finds its own among them."""


class App:
    """Jobs and stream handlers that belong together: one consumer group.

    Args:
        name: the application id, which is the consumer group's name.
        broker: bootstrap address, "embedded", or a broker object (`streamjobs.broker.memory`).
        retry: how often failing records are attempted, where a handler does not say it.
        on_failure: what becomes of a record when that is over: "dead_letter" (default),
            "discard", "block" (hold its key) or "stop" (the app), or a function of the error and
            the attempt's `Context` that returns one of these.
        dead_letter: where dead letters go; by default to the record's topic with `.dead` behind.
        breaker: when too many records are given up to go on; by default there is none.
        context: context variables whose values travel from `enqueue` to the handler.
        middleware: hooks of your own, see `Middleware`; the first one is the outermost.
        The others are settings: see `streamjobs.settings.Settings` or
        `python -m streamjobs check`. None means: not given here.

    Raises:
        ConfigurationError: the name is no usable group name.

    Example:
        >>> app = App("accounts")
        >>> @app.job(topic="user-updates", key="user_id")
        ... def update_user(user_id: int, name: str) -> None: ...
    """

    def __init__(
        self,
        name: str,
        *,
        broker: str | Broker | None = None,
        connection: Mapping[str, Any] | None = None,
        guarantee: Literal["at-least-once", "exactly-once"] | None = None,
        state_dir: str | None = None,
        state_keep: float | None = None,
        transaction_timeout: float | None = None,
        commit_interval: float | None = None,
        commit_records: int | None = None,
        shutdown_timeout: float | None = None,
        revoke_timeout: float | None = None,
        stall_after: float | None = None,
        suspect_after: int | None = None,
        topics: Literal["create", "require"] | None = None,
        partitions: int | None = None,
        replication: int | None = None,
        group_protocol: Literal["classic", "consumer"] | None = None,
        instance: str | None = None,
        threads: int | None = None,
        tasks: int | None = None,
        process_workers: int | None = None,
        process_max_records: int | None = None,
        process_max_mib: int | None = None,
        window_records: int | None = None,
        window_bytes: int | None = None,
        consumer_config: Mapping[str, Any] | None = None,
        producer_config: Mapping[str, Any] | None = None,
        retry: Retry = Retry(),  # noqa: B008  # a frozen value
        on_failure: OnFailure = "dead_letter",
        dead_letter: DeadLetter = DeadLetter(),  # noqa: B008
        breaker: Breaker | None = None,
        context: Sequence[ContextVar[Any]] = (),
        middleware: Sequence[Middleware] = (),
    ) -> None:
        if not name.strip():
            raise ConfigurationError("App(name): a consumer group needs a name")
        self.name = name
        self.handling = Handling(retry, on_failure)
        check_policies(dead_letter, breaker)
        self.dead_letter = dead_letter
        self.breaker = breaker
        self.middleware: list[Middleware] = [ContextTravel(context), *_several(middleware)]
        self.around = Around(self.middleware)
        self.pipelines: list[Pipeline[..., Any]] = []
        self._declared: dict[str, Topic] = {}
        self._uncomposed: list[Pipeline[..., Any]] = []
        self.tables: dict[str, Table] = {}
        self.queries: Queries | None = None
        self.process_initializers: list[Callable[[], object]] = []
        self._lock = threading.RLock()
        self._overrides: dict[str, Any] = {}
        self._runtime: Runtime | None = None
        self._made_broker = False
        self._publisher: Publisher | None = None
        self._broker_object = None if isinstance(broker, str | None) else broker
        self._arguments: dict[str, Any] = {
            "broker": broker if isinstance(broker, str | None) else broker.address,
            "connection": connection,
            "guarantee": guarantee,
            "state_dir": state_dir,
            "state_keep": state_keep,
            "transaction_timeout": transaction_timeout,
            "commit_interval": commit_interval,
            "commit_records": commit_records,
            "shutdown_timeout": shutdown_timeout,
            "revoke_timeout": revoke_timeout,
            "stall_after": stall_after,
            "suspect_after": suspect_after,
            "topics": topics,
            "partitions": partitions,
            "replication": replication,
            "group_protocol": group_protocol,
            "instance": instance,
            "threads": threads,
            "tasks": tasks,
            "process_workers": process_workers,
            "process_max_records": process_max_records,
            "process_max_mib": process_max_mib,
            "window_records": window_records,
            "window_bytes": window_bytes,
            "consumer_config": consumer_config,
            "producer_config": producer_config,
        }
        APPS.add(self)

    # -- declarations ------------------------------------------------------------------------

    def job(
        self,
        *,
        topic: str,
        name: str | None = None,
        partitioner: Partitioner | None = None,
        key: str | Partitioner | None = None,
        partition_key_type: PartitionKeyType = "key",
        virtual_partitions: VirtualPartitions | int | None = None,
        retry: Retry | None = None,
        on_failure: OnFailure | None = None,
        dead_letter: DeadLetter | None = None,
        breaker: Breaker | None = None,
        timeout: float | None = None,
        inline: bool = False,
        process: bool = False,
        state: bool | str | Sequence[str] = False,
    ) -> Callable[[Callable[P, R]], Job[P, R]]:
        """Make a job of a function. It stays callable, and can be enqueued.

        Args:
            topic: where its records go; several jobs may share one.
            name: what its records say; the function's name if left out. Renaming a job leaves
                the records that are on the topic without one: give the old name here.
            partitioner: takes a `JobCall`, returns what `partition_key_type` says.
            key: the message key: a parameter's name, or a function of a `JobCall`.
            partition_key_type: "key": the partitioner's result is the message key.
                "partition_key": it picks the partition and is the ordering key.
                "partition": it is the partition's number.
            virtual_partitions: how the topic's partitions are split (a number is a count); one
                answer for a topic, so give it at one of the jobs that share it.
            retry, on_failure: what is done about failures; the app's where left out.
            dead_letter, breaker: where records go that are given up, and when too many are; one
                answer for a topic.
            timeout: seconds an attempt may take. A coroutine is cancelled then, a process killed,
                a thread told by `ctx.timed_out`; the attempt has failed in any case.
            inline: run it on the owner's thread, for functions that cost next to nothing.
            process: run it in a pool of processes, for functions that keep a CPU busy.
            state: True to have `ctx.state`, values kept per ordering key; or the names of the
                stores that `ctx.store(name)` may use.

        Raises:
            ConfigurationError: the declaration cannot work; says why.
        """

        def declare(function: Callable[P, R]) -> Job[P, R]:
            job = Job(
                self,
                function,
                name=name or function.__name__,
                topic=topic,
                partitioner=partitioner,
                key=key,
                partition_key_type=partition_key_type,
                options=self._options(
                    function,
                    virtual_partitions=virtual_partitions,
                    retry=retry,
                    on_failure=on_failure,
                    dead_letter=dead_letter,
                    breaker=breaker,
                    timeout=timeout,
                    inline=inline,
                    process=process,
                    state=state,
                ),
            )
            self._topic(topic).add_job(job)
            return job

        return declare

    def stream(
        self,
        topic: str,
        *,
        value: Any = "json",
        to: str | None = None,
        name: str | None = None,
        virtual_partitions: VirtualPartitions | int | None = None,
        retry: Retry | None = None,
        on_failure: OnFailure | None = None,
        dead_letter: DeadLetter | None = None,
        breaker: Breaker | None = None,
        timeout: float | None = None,
        inline: bool = False,
        process: bool = False,
        state: bool | str | Sequence[str] = False,
    ) -> Callable[[Callable[P, R]], Stream[P, R]]:
        """Handle the records of a topic with a function of (value) or (value, ctx).

        Args:
            topic: whose records; a topic has one stream handler.
            value: "json" (default), "bytes", "str", a dataclass, a pydantic model or another
                type, or a Quix deserializer.
            to: the topic that returned values go to, with the record's key. None returned
                writes nothing.
            name: what logs call it; the function's name if left out.
            virtual_partitions: how the topic's partitions are split (a number is a count).
            retry, on_failure: what is done about failures; the app's where left out.
            dead_letter, breaker: where records go that are given up, and when too many are; the
                app's where left out.
            timeout: seconds an attempt may take. A coroutine is cancelled then, a process killed,
                a thread told by `ctx.timed_out`; the attempt has failed in any case.
            inline: run it on the owner's thread, for functions that cost next to nothing.
            process: run it in a pool of processes, for functions that keep a CPU busy.
            state: True to have `ctx.state`, values kept per ordering key; or the names of the
                stores that `ctx.store(name)` may use.

        Raises:
            ConfigurationError: the declaration cannot work; says why.
        """

        def declare(function: Callable[P, R]) -> Stream[P, R]:
            stream = Stream(
                function,
                name=name or function.__name__,
                topic=topic,
                value=value,
                to=to,
                around=self.around,
                options=self._options(
                    function,
                    virtual_partitions=virtual_partitions,
                    retry=retry,
                    on_failure=on_failure,
                    dead_letter=dead_letter,
                    breaker=breaker,
                    timeout=timeout,
                    inline=inline,
                    process=process,
                    state=state,
                ),
            )
            self._topic(topic).set_stream(stream)
            return stream

        return declare

    def pipeline(
        self,
        *sources: str | Stream[..., Any] | QuixTopic,
        name: str | None = None,
        virtual_partitions: VirtualPartitions | int | None = None,
        retry: Retry | None = None,
        on_failure: OnFailure | None = None,
        dead_letter: DeadLetter | None = None,
        breaker: Breaker | None = None,
    ) -> Callable[[Callable[P, R]], Pipeline[P, R]]:
        """Process the records of a topic with the operators of Quix Streams: the function gets its
        `StreamingDataFrame` and builds on it. Called once, when the app starts.

        Args:
            sources: a topic's name (JSON values, keys of bytes), an `app.topic(...)` with
                deserializers of its own, or a stream handler, whose return values flow in. The
                function gets a dataframe for each.
            name: what logs call it; the function's name if left out.
            virtual_partitions, retry, on_failure, dead_letter, breaker: as for `stream`.

        Raises:
            ConfigurationError: the declaration cannot work; says why.

        Example:
            >>> @app.pipeline("readings")                                  # doctest: +SKIP
            ... def averages(readings):
            ...     means = readings.tumbling_window(60_000).mean().final()
            ...     means.to_topic(app.topic("averages"))
        """
        if not sources or (callable(sources[0]) and not isinstance(sources[0], Stream)):
            raise ConfigurationError("@app.pipeline(source): name the topic that it reads")

        def declare(function: Callable[P, R]) -> Pipeline[P, R]:
            pipeline = Pipeline(
                function,
                name=name or function.__name__,
                sources=sources,
                options=self._options(
                    function,
                    virtual_partitions=virtual_partitions,
                    retry=retry,
                    on_failure=on_failure,
                    dead_letter=dead_letter,
                    breaker=breaker,
                    timeout=None,
                    inline=True,
                    process=False,
                    state=False,
                ),
            )
            for source in sources:
                self._topic(source_topic(source)).set_pipeline(pipeline, source)
            self.pipelines.append(pipeline)
            self._uncomposed.append(pipeline)
            return pipeline

        return declare

    def topic(self, name: str, **options: Any) -> QuixTopic:
        """A topic as Quix has it, for `to_topic`, and for sources with deserializers.

        Args:
            name: the topic's.
            options: Quix's: `value_serializer`, `value_deserializer`, `key_serializer`,
                `key_deserializer`, `timestamp_extractor`.
        """
        return self._composer.topic(name, **options)

    def table(self, topic: str, value: Any = "json") -> Table:
        """The latest value of each key of a topic, for handlers and pipelines to look up: see
        `Table`. Every process reads all of the topic before it handles its first record.

        Args:
            topic: whose; made as a compacted topic where it is missing.
            value: "json" (default), "bytes", "str", a dataclass, a pydantic model or another type.

        Raises:
            ConfigurationError: the declaration cannot work; says why.

        Example:
            >>> carriers = app.table("carriers")                           # doctest: +SKIP
            >>> carriers.get("AA", {}).get("name")                         # doctest: +SKIP
        """
        table = self.tables.setdefault(topic, Table(topic, value))
        if table.value != value:
            raise ConfigurationError(
                f"table {topic!r} has value={table.value!r} already, and value={value!r} here: "
                "let both use one of them"
            )
        return table

    def query(
        self, store: str, key: Any, *, topic: str | None = None, partition: int | None = None
    ) -> Any:
        """Read state of this process from outside of a handler, in any thread: in a web server that
        runs beside the app, say. It has all that is merged, which is a little more than what is
        committed: after a crash, that much may be gone, and comes again.

        Args:
            store: of `ctx.state` "default", or the name that the handler declares: returns a
                `ReadOnlyState` with `get` and `exists`. So does "default" of `apply(stateful=True)`
                in a pipeline. The name of an aggregate (`count`, ...): its value, None where the
                key has none. The `name=` of a window: a list of the key's windows that are open,
                each as `current()` would emit it, with `start`, `end` and `value`.
            key: the ordering key; in a pipeline the key as its operators see it.
            topic: whose store; may be left out where no other topic has one of that name.
            partition: the key's; left out, it is where Kafka's default partitioner puts the key.

        Raises:
            KeyElsewhereError: the key's partition is in another process; says what is here.
            QueryError: there is no such store, the app does not run here, or the store is being
                restored, or is going away.

        Example:
            >>> app.query("count", "ada", topic="visits")                  # doctest: +SKIP
        """
        from streamjobs.queries import QueryError

        queries = self.queries
        if queries is None:
            raise QueryError(
                f"app {self.name!r} does not run in this process: queries read what it has"
            )
        return queries.ask(store, key, topic, partition)

    @property
    def pipeline_host(self) -> Host:
        """What runs the operators of its pipelines."""
        return self._composer.host

    @cached_property
    def _composer(self) -> Composer:
        from streamjobs.pipelines.composing import Composer

        return Composer(self.name)

    @property
    def topics(self) -> dict[str, Topic]:
        """What is declared, by topic; those that pipelines make for themselves included.

        Raises:
            PipelineError: virtual partitions cannot run a pipeline; says why, and what to do.
            ConfigurationError: the function of a pipeline raised.
        """
        with self._lock:
            while self._uncomposed:
                pipeline = self._uncomposed[0]
                for composed in self._composer.compose(pipeline, self._is_alone(pipeline)):
                    self._topic(composed.topic).compose(pipeline, composed)
                del self._uncomposed[0]
            return self._declared

    @property
    def sinks(self) -> PipelineSinks | None:
        """Those that its pipelines write to, for one process; None if there are none."""
        if not self.topics or not self.pipelines or not self._composer.host.sinks:
            return None
        from streamjobs.pipelines.sinks import PipelineSinks

        return PipelineSinks(list(self._composer.host.sinks.values()))

    def _is_alone(self, pipeline: Pipeline[..., Any]) -> bool:
        """Whether each of its partitions is one order."""
        topics = [self._topic(source_topic(source)) for source in pipeline.sources]
        return all(topic.virtual_partitions.count == 1 for topic in topics)

    def process_initializer(self, function: Callable[[], R]) -> Callable[[], R]:
        """Call a function once in every worker process (`process=True`), before its first
        record: to load a model, open a connection, seed a generator. If it raises, the app stops.

        Raises:
            ConfigurationError: a worker process could not call it.

        Example:
            >>> @app.process_initializer              # doctest: +SKIP
            ... def load_model() -> None: ...
        """
        execution_kind(function, inline=False, process=True)
        self.process_initializers.append(function)
        return function

    def _topic(self, name: str) -> Topic:
        if not name:
            raise ConfigurationError("a topic needs a name")
        return self._declared.setdefault(name, Topic(name, self.dead_letter, self.breaker, self))

    def _options(
        self,
        function: Callable[..., Any],
        *,
        virtual_partitions: VirtualPartitions | int | None,
        retry: Retry | None,
        on_failure: OnFailure | None,
        dead_letter: DeadLetter | None,
        breaker: Breaker | None,
        timeout: float | None,
        inline: bool,
        process: bool,
        state: bool | str | Sequence[str],
    ) -> HandlerOptions:
        return HandlerOptions(
            execution_kind(function, inline=inline, process=process),
            Handling(retry or self.handling.retry, on_failure or self.handling.on_failure),
            timeout,
            store_names(state),
            virtual_partitions_policy(virtual_partitions),
            dead_letter,
            breaker,
        )

    @property
    def cursors_topic(self) -> str:
        """Where `ctx.checkpoint` saves: made when that is first called."""
        return self.name + CURSORS_SUFFIX

    @property
    def dead_letter_topics(self) -> dict[str, list[str]]:
        """The dead-letter topics, and the topics whose records go to each."""
        found: dict[str, list[str]] = {}
        for topic in self.topics.values():
            found.setdefault(topic.dead_letter_topic, []).append(topic.name)
        return found

    @property
    def repartition_topics(self) -> dict[str, list[str]]:
        """The topics that `group_by` makes, and those whose records go to each."""
        topics = self.topics.values()
        return {
            made.name: [topic.name for topic in topics if made.name in topic.outputs]
            for made in topics
            if made.is_made
        }

    # -- settings and connections ------------------------------------------------------------

    def override(self, **settings: Any) -> None:
        """Settings that win over all others, as from the command line. None leaves one alone.
        Has to come before the first `enqueue` or `run`.
        """
        with self._lock:
            self._overrides |= {
                name: value for name, value in settings.items() if value is not None
            }
            if settings.get("broker") is not None:
                self._broker_object = None
            self.__dict__.pop("resolved", None)

    @cached_property
    def resolved(self) -> Resolved:
        """The settings and where each came from.

        Raises:
            SettingError: one is unusable.
        """
        return resolve(self._arguments, self._overrides)

    @property
    def settings(self) -> Settings:
        """The values this app runs with."""
        return self.resolved.settings

    @property
    def broker(self) -> Broker:
        """The connection to the cluster, made when it is first needed."""
        with self._lock:
            if self._broker_object is None:
                self._broker_object = connect(self.settings)
                self._made_broker = True
            return self._broker_object

    @property
    def broker_address(self) -> str | None:
        """Where other processes find the broker; None if it is an object that was passed in."""
        with self._lock:
            if self._broker_object is not None and not self._made_broker:
                return None
            return (
                self.broker.address if self.settings.broker == "embedded" else self.settings.broker
            )

    def shares_broker_with(self, other: App) -> bool:
        """Whether both write to the same cluster in the same way."""
        if other is self:
            return True
        address = self.broker_address
        if address is None:
            return self.broker is other.broker
        mine, others = self.settings.connection, other.settings.connection
        return address == other.broker_address and mine == others

    @property
    def publisher(self) -> Publisher:
        """What `enqueue` sends through, made when it is first needed."""
        with self._lock:
            if self._publisher is None:
                logs.configure_unless_done()
                producer = self.broker.producer(self.settings.producer_config)
                self._publisher = Publisher(producer, Topics(self.broker, self.settings))
            return self._publisher

    @contextmanager
    def on(self, broker: Broker, publisher: Publisher | None = None) -> Iterator[None]:
        """Use another broker for a while, a memory one in tests for example; `enqueue` and `run`
        go there. What the app was connected to before comes back at the end.

        Args:
            broker: the one to use.
            publisher: what `enqueue` sends through; None for the broker's producer.
        """
        with self._lock:
            before = self._broker_object, self._publisher
            self._broker_object, self._publisher = broker, publisher
        try:
            yield
        finally:
            with self._lock:
                if self._publisher is not None and self._publisher is not publisher:
                    self._publisher.close()
                self._broker_object, self._publisher = before

    def close(self) -> None:
        """Wait for what was enqueued and let go of the broker, unless it was passed in."""
        with self._lock:
            if self._publisher is not None:
                self._publisher.close()
                self._publisher = None
            if self._made_broker and self._broker_object is not None:
                self._broker_object.close()
                self._broker_object = None

    # -- running -----------------------------------------------------------------------------

    def run(self, *, until_idle: bool = False) -> ExitCode:
        """Work until SIGTERM or SIGINT, or `stop`, as `python -m streamjobs run` does.

        Args:
            until_idle: stop when every record of the assigned partitions is settled.

        Returns:
            How it ended: `ExitCode.OK`, or what was left undone.

        Raises:
            StreamjobsError: it cannot start, or lost its broker for good.
        """
        from streamjobs.execution.launch import being_imported
        from streamjobs.runtime import Runtime

        if being_imported():
            raise ConfigurationError(
                "a worker process imports the program that started it, and came to app.run(): "
                'put that under if __name__ == "__main__"'
            )
        logs.configure_unless_done()
        self._runtime = Runtime(self)
        return self._runtime.run(until_idle=until_idle)

    def resume(self) -> None:
        """Close the breakers that are open, and go on. From any thread."""
        if self._runtime is not None:
            self._runtime.resume()

    def stop(self) -> None:
        """End `run` in good order; may be called from any thread, and before it began to work."""
        if self._runtime is not None:
            self._runtime.stop()


def _several(middleware: Sequence[Middleware]) -> Sequence[Middleware]:
    if isinstance(middleware, list | tuple):
        return middleware
    raise ConfigurationError(f"App(middleware={middleware!r}): a list")
