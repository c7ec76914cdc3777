"""A call of a job, on its way from `enqueue` to a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ("Arguments", "JobCall", "Partitioner")


@dataclass(frozen=True, slots=True)
class JobCall:
    """One call of a job, as a partitioner and `ctx.job` see it.

    Attributes:
        name: the job's name.
        id: the same at every attempt; unique for each `enqueue`.
        arguments: by parameter name, defaults included.
    """

    name: str
    id: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Arguments:
    """Arguments for `enqueue_many`, checked by the type checker; made by `Job.arguments`."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]


Partitioner = Callable[[JobCall], Any]
"""From a call to what its `partition_key_type` says: a key, an ordering key, or a partition."""
