"""What the owner asks of places outside of Kafka that results go to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Protocol

from streamjobs.engine.generation import Generation

__all__ = ("NoSinks", "Sinks", "Unflushed")


class Unflushed(NamedTuple):
    """What a sink did not take.

    Attributes:
        generations: whose results may be among it: nothing of them may be committed.
        reason: why, in words.
        pause: seconds until they are read again.
    """

    generations: Collection[Generation]
    reason: str
    pause: float


class Sinks(Protocol):
    """Used by the owner's thread only."""

    @abstractmethod
    def add(self, generation: Generation, items: Sequence[Any]) -> None:
        """What an attempt that succeeded has for sinks (`Effects.sinks`), when it is merged. Must
        not raise: what goes wrong is told by `flush`.
        """

    @abstractmethod
    def flush(self) -> Unflushed | None:
        """Progress is about to be committed: all that was added has to be in its place when this
        returns None. Waits for as long as that takes.
        """

    @abstractmethod
    def forget(self, generation: Generation) -> None:
        """This generation ended: what was added for it, and is not flushed, is done again."""


class NoSinks(Sinks):
    """Where nobody writes to any, and in the simulation, which writes nothing outside."""

    def add(self, generation: Generation, items: Sequence[Any]) -> None:
        """It goes nowhere."""

    def flush(self) -> None:
        """There is nothing."""

    def forget(self, generation: Generation) -> None:
        """There is nothing."""
