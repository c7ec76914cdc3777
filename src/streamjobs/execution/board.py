"""Memory that an app and its worker processes both see: what one must know of the other even
when that one is busy, or dead.
"""

from __future__ import annotations

from multiprocessing.context import SpawnContext
from typing import Any, Final, NamedTuple

from streamjobs.engine.generation import Generation

__all__ = ("NOTHING_HELD", "REVOKED", "STOPPING", "Board", "Flags", "Standing")

REVOKED: Final = 1
STOPPING: Final = 2

NOTHING_HELD: Final = float(1 << 53)

_NUMBER, _CURRENT, _HELD, _STARTED = range(4)


class Standing(NamedTuple):
    """Where a process was when it was looked at.

    Attributes:
        number: of the parcel it runs; 0 for none.
        current: index of the record it runs.
        done: indexes below this one are through, and nothing of them is still to be reported.
        started: when it began the record, by `time.monotonic`.
    """

    number: int
    current: int
    done: int
    started: float


class Board:
    """Where one process stands: it writes, its app reads. Each number is written by itself, so
    together they are true only once the process has ended.

    Args:
        memory: made by `memory`, and handed to the process when it is started.
    """

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        self._numbers = memoryview(memory).cast("B").cast("d")

    @staticmethod
    def memory(context: SpawnContext) -> Any:
        """What both sides make their board of."""
        return context.RawArray("d", 4)

    def begin_slice(self, number: int) -> None:
        """This parcel is taken, and its first record is next."""
        numbers = self._numbers
        numbers[_CURRENT], numbers[_HELD] = 0.0, NOTHING_HELD
        numbers[_NUMBER] = number

    def begin_record(self, index: int, now: float) -> None:
        """This record begins; those before it are through."""
        numbers = self._numbers
        numbers[_STARTED] = now
        numbers[_CURRENT] = index

    def hold(self, index: int) -> None:
        """The effects of this record are still to be reported."""
        self._numbers[_HELD] = min(self._numbers[_HELD], index)

    def reported(self) -> None:
        """Nothing is held any more."""
        self._numbers[_HELD] = NOTHING_HELD

    def end_slice(self) -> None:
        """The parcel is reported, too."""
        self._numbers[_NUMBER] = 0

    def read(self) -> Standing:
        """Where the process stands."""
        number, current, held, started = self._numbers.tolist()
        return Standing(int(number), int(current), int(min(current, held)), started)


class Flags:
    """What became of generations, for the handlers that run for them: the app writes, all its
    processes read.

    A generation has a place here while slices of it are on their way.
    """

    def __init__(self, context: SpawnContext, size: int) -> None:
        self.memory = context.RawArray("B", size)
        self._bytes = memoryview(self.memory).cast("B")
        self._free = list(range(size))
        self._places: dict[Generation, int] = {}
        self._slices: dict[Generation, int] = {}

    def take(self, generation: Generation) -> int:
        """The place of a generation, for one slice."""
        place = self._places.get(generation)
        if place is None:
            place = self._places[generation] = self._free.pop()
            self._slices[generation] = 0
            self._show(generation, place)
        self._slices[generation] += 1
        return place

    def give_back(self, generation: Generation) -> None:
        """One of its slices is no longer on its way."""
        self._slices[generation] -= 1
        if not self._slices[generation]:
            self._free.append(self._places.pop(generation))
            del self._slices[generation]

    def refresh(self) -> None:
        """Show what became of them meanwhile."""
        for generation, place in self._places.items():
            self._show(generation, place)

    def _show(self, generation: Generation, place: int) -> None:
        self._bytes[place] = REVOKED * generation.revoked | STOPPING * generation.stopping
