"""How handlers behave in a simulation: how long they take, and when they fail."""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from collections.abc import Awaitable
from random import Random

from streamjobs.engine.effects import Effects
from streamjobs.engine.route import Invoke, Route
from streamjobs.engine.slices import Slice
from streamjobs.record import Record
from streamjobs.testing.simulation.workers import NEVER

__all__ = ("Dice", "InjectedError")


class InjectedError(Exception):
    """What the fault "error" raises."""


class Dice:
    """Decides by record, not by attempt, so that a record that fails does so a few times.

    Args:
        random: the world's.
        faults: of these, "error", "slow" and "endless" matter here.

    Attributes:
        hits: how often a handler did what they say.
    """

    def __init__(self, random: Random, faults: frozenset[str]) -> None:
        self._random = random
        self._left: dict[str, int] = {}
        self._error = random.choice((0.0, 0.05, 0.2)) if "error" in faults else 0.0
        self._slow = 0.05 if "slow" in faults else 0.0
        self._endless = 0.01 if "endless" in faults else 0.0
        self._healed = False
        self.hits: Counter[str] = Counter()

    def heal(self) -> None:
        """No more failures from now on."""
        self._healed = True

    def seconds(self, piece: Slice, index: int) -> float:
        """How long an attempt takes."""
        roll = 1.0 if self._healed else self._random.random()
        if roll < self._endless:
            self.hits["endless"] += 1
            return NEVER
        if roll < self._endless + self._slow:
            self.hits["slow"] += 1
            return self._random.uniform(0.5, 4.0)
        return self._random.uniform(0.001, 0.03)

    def fails(self, record: Record) -> bool:
        """Whether this attempt of a record is to fail."""
        left = self._left.setdefault(record.id, self._roll())
        if not left or self._healed:
            return False
        self._left[record.id] = left - 1
        self.hits["error"] += 1
        return True

    def spoil(self, route: Route) -> Route:
        """The same route, whose attempts fail as the dice say, before or after the handler ran."""
        return dataclasses.replace(route, invoke=_Spoiled(self, self._random, route.invoke).invoke)

    def _roll(self) -> int:
        if self._random.random() >= self._error:
            return 0
        return self._random.choice((1, 1, 2, 6))


class _Spoiled:
    """Attempts that fail now and then, whatever the handler does."""

    def __init__(self, dice: Dice, random: Random, invoke: Invoke) -> None:
        self._dice = dice
        self._random = random
        self._invoke = invoke

    def invoke(self, piece: Slice, index: int) -> Effects | Awaitable[Effects | None] | None:
        if not self._dice.fails(piece.records[index]):
            return self._invoke(piece, index)
        if self._random.random() < 0.5:
            raise InjectedError("before the handler ran")
        outcome = self._invoke(piece, index)
        if inspect.isawaitable(outcome):
            return self._fail_after(outcome)
        raise InjectedError("after the handler ran")

    async def _fail_after(self, outcome: Awaitable[Effects | None]) -> Effects | None:
        await outcome
        raise InjectedError("after the handler ran")
