"""Stream handlers: functions of the records of a topic, whoever wrote them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from streamjobs.context import Context, refuse_coroutine
from streamjobs.engine.effects import Effects
from streamjobs.engine.slices import Slice
from streamjobs.errors import ConfigurationError
from streamjobs.handlers import HandlerOptions
from streamjobs.middleware import Around
from streamjobs.timeouts import await_within, refuse_late
from streamjobs.values import SeveralValues, decoder_for

__all__ = ("Stream", "takes_context")

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Stream(Generic[P, R_co]):
    """A function that gets each record of a topic. Calling it runs it here and now.

    Made by `App.stream`.
    """

    __name__: str

    def __init__(
        self,
        function: Callable[P, R_co],
        *,
        name: str,
        topic: str,
        value: Any,
        to: str | None,
        options: HandlerOptions,
        around: Around,
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = name
        self.topic = topic
        self.to = to
        self.function = function
        self.value = value
        self.options = options
        self.timeout = options.timeout
        self.around = around
        self.feeds_pipeline = False
        self._decode = decoder_for(value, topic)
        self._takes_context = takes_context(name, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Stream {self.name} on {self.topic}>"

    def invoke(self, piece: Slice, index: int) -> Effects | None:
        """Attempt one record of a plain function."""
        if self.timeout is None and not self.around:
            self._attempt(piece, index)
        else:
            context = piece.context = Context(piece, index, timeout=self.timeout)
            self.around.call(context, lambda: self._attempt_within(piece, index))
        return None if piece.context is None else piece.context.effects

    async def invoke_async(self, piece: Slice, index: int) -> Effects | None:
        """Attempt one record of a coroutine function."""
        if self.timeout is None and not self.around:
            await self._attempt_async(piece, index)
        else:
            context = piece.context = Context(piece, index, timeout=self.timeout)
            await self.around.call_async(
                context, lambda: await_within(self._attempt_async(piece, index), self.timeout)
            )
        return None if piece.context is None else piece.context.effects

    def _attempt(self, piece: Slice, index: int) -> None:
        value = self._decode(piece.records[index])
        if type(value) is SeveralValues:
            for each in value.values:
                self._output(piece, self._call(piece, index, each))
        else:
            self._output(piece, self._call(piece, index, value))

    def _attempt_within(self, piece: Slice, index: int) -> None:
        self._attempt(piece, index)
        if self.timeout is not None:
            refuse_late(piece.context, self.timeout)

    async def _attempt_async(self, piece: Slice, index: int) -> None:
        value = self._decode(piece.records[index])
        if type(value) is SeveralValues:
            for each in value.values:
                self._output(piece, await self._call(piece, index, each))
        else:
            self._output(piece, await self._call(piece, index, value))

    def _call(self, piece: Slice, index: int, value: Any) -> Any:
        function: Callable[..., Any] = self.function
        if not self._takes_context:
            return function(value)
        if piece.context is None:
            piece.context = Context(piece, index)
        return function(value, piece.context)

    def _output(self, piece: Slice, result: Any) -> None:
        """What the handler returned goes to its `to` topic, and into its pipeline."""
        if result is None:
            return
        refuse_coroutine(result)
        if self.to is None and not self.feeds_pipeline:
            return
        if piece.context is None:
            piece.context = Context(piece, piece.current)
        if self.to is not None:
            piece.context.emit(self.to, result)
        if self.feeds_pipeline:
            piece.context.flow_on(result)


def takes_context(name: str, function: Callable[..., Any]) -> bool:
    """Whether the handler has a second parameter.

    Raises:
        ConfigurationError: it takes neither one nor two positional arguments.
    """
    signature = inspect.signature(function)
    for count in (2, 1):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count == 2
    raise ConfigurationError(
        f"stream handler {name}{signature}: it is called with the value, or with the value and "
        "a Context"
    )
