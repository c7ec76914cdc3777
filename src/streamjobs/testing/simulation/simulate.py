"""Runs of the simulation: by seed, or by dice that somebody else holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from streamjobs.testing.guarantees import Guarantee, standard
from streamjobs.testing.history import History, Sent
from streamjobs.testing.simulation.faults import ALL
from streamjobs.testing.simulation.scenario import Scenario, random_scenario
from streamjobs.testing.simulation.world import World

__all__ = ("Report", "Run", "play", "simulate_random", "simulate_seed")

EVERY_FAULT = frozenset(ALL)

WITHIN: Final = 10.0
WITHIN_WITH_TRANSACTIONS: Final = 30.0
"""Seconds in which a key that nothing holds goes on: where a process has died, its successor waits
for the end of the transaction, and for a store that somebody has open who stands still.
"""


@dataclass(slots=True)
class Run:
    """One simulated history, and the guarantees that have seen it."""

    history: History
    coverage: Counter[str]
    seconds: float
    guarantees: Sequence[Guarantee]

    def check(self) -> None:
        """Whether all guarantees hold.

        Raises:
            GuaranteeViolatedError: the first one that does not.
        """
        for guarantee in self.guarantees:
            guarantee.check()


@dataclass(slots=True)
class Report:
    """Many runs together."""

    runs: int = 0
    records: int = 0
    simulated_seconds: float = 0.0
    coverage: Counter[str] = field(default_factory=Counter)

    def add(self, run: Run) -> None:
        """One more run."""
        self.runs += 1
        self.records += sum(isinstance(event, Sent) for event in run.history)
        self.simulated_seconds += run.seconds
        self.coverage += run.coverage


def play(
    random: Random,
    *,
    faults: frozenset[str] = EVERY_FAULT,
    scenario: Callable[[Random, frozenset[str]], Scenario] = random_scenario,
    steps: int = 300,
    extra: Iterable[Guarantee] = (),
) -> Run:
    """One run with these dice; nothing is checked yet."""
    made = scenario(random, faults)
    world = World(made, random, faults, members=random.choice((1, 2, 3)))
    history = world.run(steps)
    promised = standard(
        within=WITHIN_WITH_TRANSACTIONS if made.has_transactions else WITHIN,
        deliveries=True,
        letters=True,
        exactly_once=made.exactly_once,
        counts=made.counts,
    )
    guarantees = [*promised, *extra]
    for guarantee in guarantees:
        guarantee.watch(history)
    return Run(history, world.coverage, world.clock.now, guarantees)


def simulate_random(random: Random, **options: Any) -> Run:
    """One run with these dice (see `play`), checked.

    Raises:
        GuaranteeViolatedError: a guarantee does not hold.
    """
    run = play(random, **options)
    run.check()
    return run


def simulate_seed(seed: int, **options: Any) -> Run:
    """The run of a seed (see `play`), checked: the same one each time.

    Raises:
        GuaranteeViolatedError: a guarantee does not hold. A note of it (and of any other
            exception) is the line that repeats this run.
    """
    try:
        return simulate_random(Random(seed), **options)
    except Exception as error:
        error.add_note(f"seed={seed}: repeat it with python -m streamjobs simulate --seed {seed}")
        raise
