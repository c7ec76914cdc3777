"""Simulate a user's app: many seeds, every guarantee, and the user's own invariants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Final

import orjson

from streamjobs.app import App
from streamjobs.record import Record
from streamjobs.testing.direct import DirectPublisher
from streamjobs.testing.guarantees import Guarantee, GuaranteeViolatedError, standard
from streamjobs.testing.history import Event, Finished
from streamjobs.testing.simulation.app_scenario import Workload, app_scenario
from streamjobs.testing.simulation.simulate import (
    EVERY_FAULT,
    WITHIN,
    WITHIN_WITH_TRANSACTIONS,
    Report,
    Run,
)
from streamjobs.testing.simulation.world import World

__all__ = ("APP_FAULTS", "Invariant", "simulate")

Invariant = Callable[[], object]
"""Raises AssertionError (or returns False) when something of the user's own is broken; called
after each attempt."""

STEPS: Final = 300

APP_FAULTS: Final = EVERY_FAULT - {"compaction", "retention", "other-count"}
"""Two of these take records away for good, which is no fault of an app that reads a plain topic;
one is a restart with virtual partitions that the app did not ask for. Ask for them by name."""


def simulate(
    app: App,
    *,
    workload: Workload | None = None,
    invariants: Sequence[Invariant] = (),
    guarantees: Callable[[], Iterable[Guarantee]] = tuple,
    seeds: Iterable[int | Random] = range(100),
    faults: frozenset[str] = APP_FAULTS,
    records: int = 60,
    name: str = "",
    progress: Callable[[int], None] = lambda done: None,
) -> Report:
    """Run an app's own handlers through faults, in virtual time; every seed is one history.

    What handlers keep outside of streamjobs (a database, a module's dict) stays as it is when
    a simulated process crashes, as it would; begin the workload by emptying it.

    Args:
        app: the app. Nothing reaches its real broker.
        workload: enqueues records; called at the beginning of each run with the run's dice. None
            for arguments made up from the annotations.
        invariants: called after each attempt.
        guarantees: makes further guarantees for each run, your own for example.
        seeds: which histories; an element may be the dice themselves, as Hypothesis makes them.
        faults: what may go wrong, see `streamjobs.testing.simulation.faults.ALL`; by default all
            but those that take records away.
        records: how many records a made-up workload has.
        name: `MODULE:APP` and options for the line that repeats a failure; without it, that
            says how to call `simulate`.
        progress: told how many runs are done.

    Raises:
        GuaranteeViolatedError: with the history. A note of it (and of any other exception) is
            the line that repeats it.
    """
    report = Report()
    for seed in seeds:
        try:
            dice = seed if isinstance(seed, Random) else Random(seed)
            run = _one(app, dice, faults, workload, invariants, guarantees(), records)
            run.check()
        except Exception as error:
            if not isinstance(seed, Random):  # else whoever threw the dice knows
                error.add_note(f"seed={seed}: repeat it with {_repeat(name, seed)}")
            raise
        report.add(run)
        progress(report.runs)
    return report


def _repeat(name: str, seed: int) -> str:
    if name:
        return f"python -m streamjobs simulate {name} --seed {seed}"
    return f"simulate(..., seeds=[{seed}])"


def _one(
    app: App,
    random: Random,
    faults: frozenset[str],
    workload: Workload | None,
    invariants: Sequence[Invariant],
    own: Iterable[Guarantee],
    records: int,
) -> Run:
    scenario = app_scenario(app, random, faults, workload, records)
    watch = _Watch(invariants)
    world = World(scenario, random, faults, members=random.choice((1, 2, 3)), watch=watch)
    watch.world = world
    publisher = DirectPublisher(world.cluster)
    with app.on(publisher.broker, publisher):
        history = world.run(STEPS)
    promised = standard(
        within=WITHIN_WITH_TRANSACTIONS if scenario.has_transactions else WITHIN,
        letters=True,
        exactly_once=scenario.exactly_once,
    )
    seen = [*promised, *own]
    for guarantee in seen:
        guarantee.watch(history)
    return Run(history, world.coverage, world.clock.now, seen)


def _reason(error: AssertionError) -> str:
    """Its message, without what pytest adds to it (values and addresses, over several lines)."""
    text = str(error).partition("\nassert ")[0]
    return text.partition("\n")[0] if text.startswith("assert ") else text


def _shown(record: Record) -> str:
    """A call with its arguments; any other record with its key and the beginning of its value."""
    try:
        call = orjson.loads(record.value or b"")
        parts = [*map(repr, call["args"]), *(f"{k}={v!r}" for k, v in call["kwargs"].items())]
        return f"{call['job']}({', '.join(parts)})"
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return f"key={record.key!r} value={(record.value or b'')[:80]!r}"


class _Watch:
    """Looks at the user's invariants whenever an attempt has ended."""

    world: World

    def __init__(self, invariants: Sequence[Invariant]) -> None:
        self._invariants = invariants

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Finished):
            return
        for invariant in self._invariants:
            try:
                held = invariant()
            except AssertionError as error:
                self._report(invariant, event, _reason(error))
            else:
                if held is False:
                    self._report(invariant, event, "it returned False")

    def _report(self, invariant: Invariant, event: Finished, why: str) -> None:
        name = getattr(invariant, "__name__", repr(invariant))
        about = [
            each
            for each in self.world.history
            if getattr(each, "partition", event.partition) == event.partition
            and type(each).__name__ != "Accepted"
        ]
        claim = f"{why or 'it raised AssertionError'}; after {self._call(event)}"
        raise GuaranteeViolatedError(name, claim, about[-40:])

    def _call(self, event: Finished) -> str:
        """The record whose attempt ended, as its handler sees it."""
        where = f"offset {event.offset} of {event.partition}"
        log = self.world.cluster.log(*event.partition)
        for record in log.records:
            if record.offset == event.offset:
                return f"{where}, {_shown(record)}"
        return where
