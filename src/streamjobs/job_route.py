"""What runs the records of a topic that jobs share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from streamjobs import headers
from streamjobs.context import Context, refuse_coroutine
from streamjobs.engine.effects import Effects
from streamjobs.engine.slices import Slice
from streamjobs.errors import UnknownJobError
from streamjobs.jobs import Job
from streamjobs.record import Record
from streamjobs.timeouts import await_within, refuse_late
from streamjobs.wire import open_envelope

__all__ = ("JobRoute", "MixedJobRoute", "WaitFor", "carried_key")

WaitFor = Callable[[Coroutine[Any, Any, Any]], Any]
"""Run a coroutine on the event loop from a thread, and wait for its result."""


class JobRoute:
    """Runs the records of one topic that jobs share."""

    def __init__(self, jobs: Mapping[str, Job[..., Any]]) -> None:
        self._jobs = jobs

    def open(self, piece: Slice, index: int) -> tuple[Job[..., Any], Context]:
        """The job that a record asks for, and the context of this attempt.

        Raises:
            UndecodableRecordError: there is no such job, or its arguments do not fit.
        """
        envelope = open_envelope(piece.records[index])
        job = self._jobs.get(envelope.job)
        if job is None:
            known = ", ".join(sorted(self._jobs))
            raise UnknownJobError(f"there is no job {envelope.job!r} here; known are {known}")
        context = piece.context = Context(piece, index, job.decode(envelope), job.timeout)
        return job, context

    def invoke(self, piece: Slice, index: int) -> Effects | None:
        """Attempt one record of a plain function."""
        job, context = self.open(piece, index)
        if job.around:
            job.around.call(context, lambda: _call(job, context))
        else:
            _call(job, context)
        return context.effects

    async def invoke_async(self, piece: Slice, index: int) -> Effects | None:
        """Attempt one record of a coroutine function."""
        job, context = self.open(piece, index)
        if job.around:
            await job.around.call_async(
                context, lambda: await_within(job.call(context), job.timeout)
            )
        else:
            await await_within(job.call(context), job.timeout)
        return context.effects


class MixedJobRoute:
    """Jobs of one topic, plain and coroutine functions together: threads run them all, and wait
    for the event loop where a job is a coroutine function. So a key keeps its order across.
    """

    def __init__(self, jobs: JobRoute, wait_for: WaitFor) -> None:
        self._jobs = jobs
        self._wait_for = wait_for

    def invoke(self, piece: Slice, index: int) -> Effects | None:
        job, context = self._jobs.open(piece, index)
        job.around.call(context, lambda: self._call(job, context))
        return context.effects

    def _call(self, job: Job[..., Any], context: Context) -> None:
        result = job.call(context)
        if inspect.iscoroutine(result):
            self._wait_for(await_within(result, job.timeout))
        elif job.timeout is not None:
            refuse_late(context, job.timeout)


def _call(job: Job[..., Any], context: Context) -> None:
    result = job.call(context)
    if result is not None:
        refuse_coroutine(result)
    if job.timeout is not None:
        refuse_late(context, job.timeout)


def carried_key(record: Record) -> bytes | None:
    """The ordering key of a job record: the header where there is one, else the message key."""
    carried = record.header(headers.ORDERING_KEY)
    return record.key if carried is None else carried
