"""What the owner asks of the workers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Protocol

from streamjobs.engine.slices import Slice

__all__ = ("Execution", "Workers")


class Execution(Protocol):
    """Workers of one kind. They run slices and touch nothing else of the engine's."""

    @property
    @abstractmethod
    def free(self) -> int:
        """How many slices it would start at once."""

    @abstractmethod
    def start(self, slices: Sequence[Slice]) -> None:
        """Run these, each one's records one after another. Does not block for handlers (but
        for the inline kind, which is what it is for). Must not raise.
        """

    @abstractmethod
    def close(self) -> None:
        """Start nothing more and let go of idle workers. Does not wait for running handlers."""


class Workers(Protocol):
    """All executions of one owner, and the one place where their finished slices arrive."""

    @abstractmethod
    def execution(self, kind: str) -> Execution:
        """The workers of one kind."""

    @abstractmethod
    def collect(self, timeout: float) -> Iterable[Slice]:
        """Finished slices, in the order they finished; waits up to `timeout` seconds for the
        first one.
        """

    @abstractmethod
    def cancel(self, piece: Slice) -> None:
        """End this slice early if that can be done: nothing of it will be kept."""

    @abstractmethod
    def close(self) -> None:
        """Close every execution."""
