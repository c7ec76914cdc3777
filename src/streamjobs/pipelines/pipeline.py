"""Pipelines: functions that build a Quix `StreamingDataFrame`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from streamjobs.handlers import HandlerOptions
from streamjobs.streams import Stream

if TYPE_CHECKING:
    from streamjobs.pipelines.composing import Composed

__all__ = ("Pipeline",)

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

Source = Any
"""A topic's name, a Quix `Topic`, or a stream handler."""


class Pipeline(Generic[P, R_co]):
    """What is done with the records of a topic, or with what a stream handler returns, by Quix's
    operators. Calling it builds, as Quix would have it.

    Made by `App.pipeline`.
    """

    __name__: str

    def __init__(
        self,
        function: Callable[P, R_co],
        *,
        name: str,
        sources: Sequence[Source],
        options: HandlerOptions,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.sources = sources
        self.options = options
        self.composed: Mapping[str, Composed] = {}
        """By topic, what its function built: filled when the app is composed."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Pipeline {self.name} on {', '.join(map(source_topic, self.sources))}>"


def source_topic(source: Source) -> str:
    """The topic that a source reads."""
    if isinstance(source, str):
        return source
    return str(source.topic if isinstance(source, Stream) else source.name)
