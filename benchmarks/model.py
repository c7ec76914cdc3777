"""A workload: who does it, how they are measured, and what streamjobs has to reach."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.environments import Here, Jars, Packages

if TYPE_CHECKING:
    from benchmarks.arena import Arena

Figures = Mapping[str, float]
"""What one run showed, by name."""


@dataclass(frozen=True)
class Peer:
    """A program to compare with: `benchmarks/peers/<module>.py`, and where it runs."""

    title: str
    module: str
    environment: Here | Packages | Jars = Here()  # noqa: RUF009  # frozen

    def command(self) -> list[str]:
        return self.environment.command(f"benchmarks.peers.{self.module}")

    @property
    def is_here(self) -> bool:
        """Whether it needs nothing but what streamjobs needs."""
        return isinstance(self.environment, Here)


@dataclass(frozen=True)
class Contestant:
    """A peer in a workload, and what is different for it.

    Args:
        name: as bars call it.
        peer: the program.
        start: records of the first try, which says how many the rounds get.
        overrides: fields of its `Task`.
    """

    name: str
    peer: Peer
    start: int = 1_000
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bar:
    """What one figure of one contestant has to reach.

    Args:
        figure: its name.
        least, most: one of them; the limit.
        of: the limit is so many times that contestant's figure in the same round.
        above: the limit is so much more than that contestant's figure in the same round.
        contestant: whose figure it is.
    """

    figure: str
    least: float | None = None
    most: float | None = None
    of: str | None = None
    above: str | None = None
    contestant: str = "streamjobs"

    @property
    def is_ratio(self) -> bool:
        return self.of is not None

    @property
    def limit(self) -> float:
        limit = self.least if self.least is not None else self.most
        assert limit is not None
        return limit

    def measured(self, rounds: Mapping[str, Figures]) -> float | None:
        """The number to hold against the limit in one round; None if somebody is missing."""
        against = self.of or self.above
        if self.contestant not in rounds or (against and against not in rounds):
            return None
        value = rounds[self.contestant][self.figure]
        if self.of is not None:
            other = rounds[self.of][self.figure]
            return value / other if other else None
        return value - rounds[self.above][self.figure] if self.above is not None else value

    def is_reached(self, value: float, share: float = 1.0) -> bool:
        """Whether so much is enough, or so large a share of it."""
        if self.least is not None:
            return value >= share * self.least
        return value <= self.limit / share

    def __str__(self) -> str:
        sign = ">=" if self.least is not None else "<="
        limit = f"{self.limit:,.4g}" if self.limit < 1000 else f"{self.limit:,.0f}"
        against = f" x {self.of}" if self.of else f" above {self.above}" if self.above else ""
        who = "" if self.contestant == "streamjobs" else f"{self.contestant}: "
        return f"{who}{self.figure} {sign} {limit}{against}"


Measure = Callable[["Arena", "Workload", Contestant, int], Figures]
"""Does one run: in this place, of this workload, this contestant, so many records."""


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    Args:
        name: as `make bench W=name` takes it.
        title: as the table shows it.
        contestants: who takes part, streamjobs first.
        bars: what is to be reached.
        task: fields of every contestant's `Task`.
        measure: how one run is done.
        scaled: the number of records is chosen so that a run takes a given time; or else each run
            gets `Contestant.start`.
        most: records a run gets at most.
        quick: part of `make bench-quick`.
    """

    name: str
    title: str
    contestants: tuple[Contestant, ...]
    bars: tuple[Bar, ...]
    measure: Measure
    task: Mapping[str, Any] = field(default_factory=dict)
    scaled: bool = True
    most: int = 2_000_000
    quick: bool = False
