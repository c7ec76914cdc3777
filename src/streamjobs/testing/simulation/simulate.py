"""Runs of the simulation: by seed, or by dice that somebody else holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from streamjobs.testing.guarantees import (
    CommitNeverAhead,
    Guarantee,
    KeyOrder,
    KeySerial,
    NoLoss,
    OnlyFailingKeyWaits,
    ReplayBounded,
)
from streamjobs.testing.history import History
from streamjobs.testing.simulation.faults import ALL
from streamjobs.testing.simulation.scenario import Scenario, random_scenario
from streamjobs.testing.simulation.world import World

__all__ = ("Report", "Run", "guarantees_for", "simulate_random", "simulate_seed")

EVERY_FAULT = frozenset(ALL)


@dataclass(slots=True)
class Run:
    """One simulated history."""

    history: History
    coverage: Counter[str]
    seconds: float


@dataclass(slots=True)
class Report:
    """Many runs together."""

    runs: int = 0
    records: int = 0
    simulated_seconds: float = 0.0
    coverage: Counter[str] = field(default_factory=Counter)


def guarantees_for(scenario: Scenario) -> list[Guarantee]:
    """All that is promised about a scenario."""
    return [
        KeyOrder(),
        KeySerial(),
        NoLoss(emits=scenario.emits),
        CommitNeverAhead(emits=scenario.emits),
        ReplayBounded(),
        OnlyFailingKeyWaits(within=5.0),
    ]


def simulate_random(
    random: Random,
    *,
    faults: frozenset[str] = EVERY_FAULT,
    scenario: Callable[[Random, frozenset[str]], Scenario] = random_scenario,
    steps: int = 300,
    extra: Iterable[Guarantee] = (),
) -> Run:
    """One run with these dice; every guarantee is checked at its end.

    Raises:
        GuaranteeViolatedError: one does not hold.
    """
    made = scenario(random, faults)
    world = World(made, random, faults, members=random.choice((1, 2, 3)))
    history = world.run(steps)
    for guarantee in (*guarantees_for(made), *extra):
        guarantee.watch(history)
        guarantee.check()
    return Run(history, world.coverage, world.clock.now)


def simulate_seed(seed: int, **options: object) -> Run:
    """The run of a seed: the same one each time.

    Raises:
        GuaranteeViolatedError: a guarantee does not hold.
    """
    return simulate_random(Random(seed), **options)  # type: ignore[arg-type]
