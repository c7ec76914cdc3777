"""What is simulated: topics, handlers, and the records that are written."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from streamjobs.broker.ports import Message
from streamjobs.engine.distribution import distributor_for
from streamjobs.engine.effects import Effects
from streamjobs.engine.failure import Backoff
from streamjobs.engine.owner import Limits
from streamjobs.engine.route import Route
from streamjobs.engine.slices import Slice
from streamjobs.errors import UndecodableRecordError
from streamjobs.policies import VirtualPartitions
from streamjobs.record import Record
from streamjobs.testing.recorder import order_text
from streamjobs.testing.simulation.dice import Dice
from streamjobs.testing.simulation.workers import Behaviour

__all__ = ("OUTPUT", "Scenario", "order_of", "random_scenario")

OUTPUT: Final = "output"
"""The topic that random scenarios emit to: for each record its id."""


VALUES: Final = (b"loud", b"loud", b"silent", b"silent", b"poison") * 3 + (b"loud",) * 5
"""What a record makes its handler do: emit, or not, or refuse it for good."""


POLICIES: Final = (
    VirtualPartitions(),
    VirtualPartitions(),
    VirtualPartitions(distribution="balanced"),
    VirtualPartitions(ordering="virtual_partition"),
    VirtualPartitions(ordering="none"),
)


@dataclass(slots=True)
class Scenario:
    """Everything about a world but its faults.

    Attributes:
        topics: partitions by topic.
        routes: the handlers.
        workload: records to be written, in this order, while the world runs.
        behaviour: how long attempts take.
        heal: makes handlers stop failing, so that the world can come to rest.
        map_characters: how many a completion map may have; None for as many as in real life, which
            no simulation has the records to fill.
        limits: of every member.
        hits: how often a handler did what the faults "error", "slow" and "endless" say.
    """

    topics: Mapping[str, int]
    routes: Mapping[str, Route]
    workload: Sequence[Message]
    behaviour: Behaviour
    heal: Callable[[], None] = lambda: None
    map_characters: int | None = None
    limits: Limits = field(
        default_factory=lambda: Limits(window_records=40, commit_interval=0.25, revoke_timeout=2.0)
    )
    hits: Counter[str] = field(default_factory=Counter)


def order_of(route: Route, record: Record) -> str | None:
    """The order that is kept for a record, as histories name it."""
    key = record.key if route.ordering_key is None else route.ordering_key(record)
    policy = route.virtual_partitions
    return order_text(distributor_for(policy, range(policy.count)).order(key, record))  # type: ignore[arg-type]


def random_scenario(random: Random, faults: frozenset[str], records: int = 60) -> Scenario:
    """One topic with handlers that fail, dawdle and hang as the dice and the faults say."""
    policy = dataclasses.replace(random.choice(POLICIES), count=random.choice((1, 2, 3, 8)))
    dice = Dice(random, faults)
    pause = Backoff(first=random.choice((0.2, 15.0)))
    route = dice.spoil(Route("input", policy, "threads", emit_id, failures=pause))
    keys = [None, b"", *(f"k{number}".encode() for number in range(random.choice((1, 3, 10))))]
    return Scenario(
        topics={"input": random.choice((1, 1, 2, 4)), OUTPUT: 1},
        routes={"input": route},
        workload=[
            Message("input", random.choice(VALUES), random.choice(keys)) for _ in range(records)
        ],
        behaviour=dice.seconds,
        heal=dice.heal,
        map_characters=random.choice((None, None, None, 1)),
        hits=dice.hits,
    )


def emit_id(piece: Slice, index: int) -> Effects | None:
    """The handler of random scenarios: does what its record says."""
    record = piece.records[index]
    if record.value == b"poison":
        raise UndecodableRecordError("poison")
    if record.value == b"silent":
        return None
    effects = Effects()
    effects.emits.append(Message(OUTPUT, record.id.encode(), record.key))
    return effects
