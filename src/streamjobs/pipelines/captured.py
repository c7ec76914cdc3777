"""What the operators of a dataframe hold on to: Quix keeps it in the closures of its functions."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from streamjobs.pipelines.quix import Stream

__all__ = ("captured",)

DEPTH: Final = 4
"""Functions inside of functions: `to_topic` picks its topic in one that it calls."""


def captured(root: Stream) -> Iterator[Any]:
    """The values that the functions of a stream and of all behind it were made with."""
    for stream in root.full_tree():
        yield from _nonlocals(stream.func.func, DEPTH)


def _nonlocals(function: Any, depth: int) -> Iterator[Any]:
    function = inspect.unwrap(function)
    if not inspect.isfunction(function) or not depth:
        return
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:
            continue  # it is not filled
        yield value
        yield from _inside(value)
        yield from _nonlocals(value, depth - 1)


def _inside(value: Any) -> Iterable[Any]:
    """What a collection holds, as that of the topics that `to_topic` picks from."""
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple | set | frozenset) else ()
