"""From declarations to routes: what the engine has to know about each topic."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from streamjobs.engine.route import ExecutionKind, Invoke, OrderingKey, Route
from streamjobs.errors import ConfigurationError
from streamjobs.job_route import JobRoute, MixedJobRoute, WaitFor, carried_key
from streamjobs.jobs import Job
from streamjobs.partitioning import key_bytes
from streamjobs.policies import VirtualPartitions
from streamjobs.streams import Stream

__all__ = ("Topic",)


class Topic:
    """What an app declared for one topic: jobs that share it, or one stream handler."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.jobs: dict[str, Job[..., Any]] = {}
        self.stream: Stream[..., Any] | None = None
        self.policy: VirtualPartitions | None = None
        self._kinds: dict[str, ExecutionKind] = {}

    def add_job(self, job: Job[..., Any], policy: VirtualPartitions | None, inline: bool) -> None:
        """One more job on this topic.

        Raises:
            ConfigurationError: its name is taken, a stream handler has the topic, or its
                virtual partitions differ from another job's.
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
        kind = _kind(job.function, inline)
        self._agree_on(policy)
        self.jobs[job.name] = job
        self._kinds[job.name] = kind

    def set_stream(
        self, stream: Stream[..., Any], policy: VirtualPartitions | None, inline: bool
    ) -> None:
        """The stream handler of this topic.

        Raises:
            ConfigurationError: the topic has jobs, or a stream handler already.
        """
        taken = self.stream.name if self.stream else next(iter(self.jobs), None)
        if taken is not None:
            raise ConfigurationError(
                f"topic {self.name!r} is handled by {taken!r} already; one function can call "
                "both, or another App (another consumer group) can have the second"
            )
        kind = _kind(stream.function, inline)
        self._agree_on(policy)
        self.stream = stream
        self._kinds[stream.name] = kind

    def _agree_on(self, policy: VirtualPartitions | None) -> None:
        if policy is not None and self.policy is not None and policy != self.policy:
            raise ConfigurationError(
                f"topic {self.name!r} is split in two ways, {self.policy} and {policy}; "
                "the jobs of one topic share its virtual partitions"
            )
        self.policy = policy or self.policy

    @property
    def virtual_partitions(self) -> VirtualPartitions:
        """How its partitions are split."""
        return self.policy or VirtualPartitions()

    @property
    def execution(self) -> ExecutionKind:
        """What runs its records: threads when its handlers are of several kinds."""
        kinds = set(self._kinds.values())
        return kinds.pop() if len(kinds) == 1 else "threads"

    @property
    def handlers(self) -> Iterable[tuple[str, ExecutionKind]]:
        """Names and kinds of its handlers."""
        return self._kinds.items()

    @property
    def outputs(self) -> list[str]:
        """Topics it is known to write to."""
        return [self.stream.to] if self.stream is not None and self.stream.to else []

    def route(self, wait_for: WaitFor, max_message_bytes: int) -> Route:
        """Its route, for the engine."""
        return Route(
            topic=self.name,
            virtual_partitions=self.virtual_partitions,
            execution=self.execution,
            invoke=self._invoke(wait_for),
            ordering_key=self._ordering_key(),
            max_message_bytes=max_message_bytes,
        )

    def _ordering_key(self) -> OrderingKey | None:
        partitioner = self.virtual_partitions.partitioner
        if partitioner is not None:
            return lambda record: key_bytes(partitioner(record))
        return None if self.stream is not None else carried_key

    def _invoke(self, wait_for: WaitFor) -> Invoke:
        target = self.stream if self.stream is not None else JobRoute(self.jobs)
        kinds = set(self._kinds.values())
        if kinds == {"asyncio"}:
            return target.invoke_async
        if "asyncio" not in kinds:
            return target.invoke
        assert isinstance(target, JobRoute)
        return MixedJobRoute(target, wait_for).invoke


def _kind(function: Callable[..., Any], inline: bool) -> ExecutionKind:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            f"{function.__name__} is a generator function: calling it runs nothing of it. Use "
            "ctx.emit (or current_context().emit) in place of yield"
        )
    is_async = inspect.iscoroutinefunction(function)
    if inline and is_async:
        raise ConfigurationError(
            f"{function.__name__} is a coroutine function; inline=True takes a plain one"
        )
    if inline:
        return "inline"
    return "asyncio" if is_async else "threads"
