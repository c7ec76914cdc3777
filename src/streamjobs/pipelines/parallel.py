"""A parallel stage in the middle of a pipeline."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from streamjobs.context import Context, refuse_coroutine
from streamjobs.engine.effects import Effects
from streamjobs.engine.slices import Slice
from streamjobs.errors import PipelineError
from streamjobs.handlers import execution_kind
from streamjobs.streams import takes_context

if TYPE_CHECKING:
    from quixstreams.dataframe import StreamingDataFrame

    from streamjobs.engine.route import ExecutionKind
    from streamjobs.pipelines.decoding import Row, Rows
    from streamjobs.pipelines.host import Host
    from streamjobs.pipelines.stage import Executor

__all__ = ("Parallel", "ParallelStage", "parallel")


def parallel(sdf: StreamingDataFrame, handler: Callable[..., Any]) -> StreamingDataFrame:
    """Call a function for each value, many at the same time, and go on with what it returns.

    For what waits: a request to a service, a query. Values of one key are handled one after the
    other, those of different keys at the same time, on the virtual partitions of the source; the
    operators before and behind see them in the order of their key. What returns None ends there.
    A call that raises takes the failure path of the pipeline's source: its `retry`, then its dead
    letter; other keys go on.

    Args:
        sdf: where the values come from. One parallel stage for a topic, and no state before it:
            keep that behind it, or let `group_by` or a topic stand between.
        handler: a function of (value) or (value, ctx): `async def` runs on the event loop, `def`
            on threads.

    Raises:
        PipelineError: it cannot stand here; says why.

    Example:
        >>> @app.pipeline("orders")                                     # doctest: +SKIP
        ... def checked(orders):
        ...     orders = parallel(orders[orders["amount"] > 100], ask_the_bank)
        ...     orders.tumbling_window(60_000).count().final().to_topic(counts)
    """
    host = sdf.processing_context.producer
    add = getattr(host, "add_parallel", None)
    if add is None:
        raise PipelineError("parallel() takes the dataframe of a function with @app.pipeline")
    frame: StreamingDataFrame = add(sdf, ParallelStage(handler))
    return frame


class ParallelStage:
    """The function of a parallel stage."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        name = getattr(handler, "__name__", None) or type(handler).__name__
        self.name = name if name.isidentifier() else "parallel"  # stores are named for it
        self.handler = handler
        self.kind: ExecutionKind = "asyncio" if inspect.iscoroutinefunction(handler) else "threads"
        if inspect.isfunction(handler):
            execution_kind(handler, inline=False, process=False)  # refuses generators
        self.takes_context = takes_context(self.name, handler)


class Parallel:
    """An attempt: the operators before the stage, one at a time, then the function, many at the
    same time. What it returned waits in the effects for the operators behind it.
    """

    def __init__(self, host: Host, rows: Rows, execute: Executor, stage: ParallelStage) -> None:
        self._host = host
        self._rows = rows
        self._execute = execute
        self._stage = stage

    @property
    def invoke(self) -> Callable[[Slice, int], Effects | Awaitable[Effects | None] | None]:
        """An attempt, as the kind of the function asks for it."""
        return self._attempt_async if self._stage.kind == "asyncio" else self._attempt

    def _attempt(self, piece: Slice, index: int) -> Effects | None:
        effects = self._before(piece, index)
        if effects is not None and effects.flows is not None:
            context = self._context(piece, index, effects)
            results = [(self._call(row[0], context), row) for row in effects.flows]
            effects.flows = _flowing(results)
        return effects

    async def _attempt_async(self, piece: Slice, index: int) -> Effects | None:
        effects = self._before(piece, index)
        if effects is not None and effects.flows is not None:
            context = self._context(piece, index, effects)
            handler = self._stage.handler
            arguments = (context,) if self._stage.takes_context else ()
            results = [(await handler(row[0], *arguments), row) for row in effects.flows]
            effects.flows = _flowing(results)
        return effects

    def _before(self, piece: Slice, index: int) -> Effects | None:
        return self._host.attempt(piece, index, partial(self._run, piece, index))

    def _run(self, piece: Slice, index: int) -> None:
        for value, key, timestamp, headers in self._rows(piece.records[index]):
            self._execute(value, key, timestamp, headers)

    def _call(self, value: Any, context: Context) -> Any:
        arguments = (context,) if self._stage.takes_context else ()
        result = self._stage.handler(value, *arguments)
        refuse_coroutine(result)
        return result

    def _context(self, piece: Slice, index: int, effects: Effects) -> Context:
        context: Context = Context(piece, index)
        context.effects = effects
        piece.context = context
        return context


def _flowing(results: list[tuple[Any, Row]]) -> list[Row] | None:
    flowing = [
        (result, key, timestamp, headers)
        for result, (_, key, timestamp, headers) in results
        if result is not None
    ]
    return flowing or None
