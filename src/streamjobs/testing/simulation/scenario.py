"""What is simulated: topics, handlers, and the records that are written."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from streamjobs import headers
from streamjobs.broker.ports import Message
from streamjobs.context import Context
from streamjobs.engine.checkpoint import PIECE
from streamjobs.engine.distribution import distributor_for
from streamjobs.engine.effects import Effects
from streamjobs.engine.owner import Limits
from streamjobs.engine.route import Route
from streamjobs.engine.slices import Slice
from streamjobs.errors import UndecodableRecordError
from streamjobs.failures.letters import DeadLetter
from streamjobs.failures.policy import FailurePolicy
from streamjobs.failures.retry import Discard, Retry
from streamjobs.policies import VirtualPartitions
from streamjobs.record import Header, Record
from streamjobs.state.changelog import DEFAULT_STORE
from streamjobs.testing.recorder import order_text
from streamjobs.testing.simulation.dice import Dice
from streamjobs.testing.simulation.handlings import random_handling
from streamjobs.testing.simulation.workers import Behaviour

__all__ = ("COUNT", "OUTPUT", "Scenario", "key_of", "order_of", "random_scenario")

OUTPUT: Final = "output"
"""The topic that random scenarios emit to: for each record its id."""


DEAD: Final = "input.dead"
"""The topic of their dead letters."""

CHANGELOG: Final = "input.changelog"
"""Where their state is."""

COUNT: Final = "simulated count"
"""What the count of a key is called in its state."""

KINDS: Final = (
    ("plain",) * 5 + ("state",) * 2 + ("exactly-once with state",) * 2 + ("exactly-once",)
)

VALUES: Final = (
    (b"loud", b"loud", b"silent", b"silent", b"poison") * 3
    + (b"loud",) * 5
    + (b"later", b"discard")
)
"""What a record makes its handler do: emit, or not, or refuse it for good, or ask to be run again,
or give it up."""

HEADERS: Final[Sequence[Sequence[Header]]] = (
    (),
    (),
    (),
    (("h", b"\xff\x00"), ("h", None)),
    ((headers.DEAD_TOPIC, b"of an earlier life"), (headers.DEAD_MARK, b"")),
)
"""What records bring along, which their letters have to keep."""

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
        dead_letters: which of the topics are for dead letters.
        counts: whether the handlers count the records of each key in state.
        piece: changes that a checkpoint writes in one turn.
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
    dead_letters: Collection[str] = ()
    counts: bool = False
    piece: int = PIECE

    @property
    def exactly_once(self) -> bool:
        """Whether what handlers emit belongs to the transaction of their progress."""
        return any(route.transactional for route in self.routes.values())

    @property
    def has_transactions(self) -> bool:
        """Whether anything commits in transactions."""
        return self.exactly_once or any(route.changelogs for route in self.routes.values())


def order_of(route: Route, record: Record) -> str | None:
    """The order that is kept for a record, as histories name it."""
    try:
        key = record.key if route.ordering_key is None else route.ordering_key(record)
    except Exception:
        return None  # nobody knows its order
    policy = route.virtual_partitions
    return order_text(distributor_for(policy, range(policy.count)).order(key, record))  # type: ignore[arg-type]


def random_scenario(
    random: Random, faults: frozenset[str], records: int = 60, kinds: Sequence[str] = KINDS
) -> Scenario:
    """One topic with handlers that fail, dawdle and hang as the dice and the faults say, and what
    is done about it.
    """
    kind = random.choice(kinds)
    counts = kind.endswith("state")
    policies = [each for each in POLICIES if each.ordering != "none"] if counts else POLICIES
    policy = dataclasses.replace(random.choice(policies), count=random.choice((1, 2, 3, 8)))
    dice = Dice(random, faults)
    handling = random_handling(random)
    route = Route(
        "input",
        policy,
        "threads",
        count_and_emit if counts else emit_id,
        random.choice((None, None, None, picky)),
        FailurePolicy(lambda record: handling, DeadLetter(DEAD), "simulated"),
        changelogs={DEFAULT_STORE: CHANGELOG} if counts else {},
        transactional=kind.startswith("exactly-once"),
    )
    keys = [None, b"", *(f"k{number}".encode() for number in range(random.choice((1, 3, 10))))]
    partitions = random.choice((1, 1, 2, 4))
    small = random.choice((None, None, None, 1))
    return Scenario(
        topics={"input": partitions, OUTPUT: 1, DEAD: partitions},
        routes={"input": dice.spoil(route)},
        workload=[
            Message("input", random.choice(VALUES), random.choice(keys), random.choice(HEADERS))
            for _ in range(records)
        ],
        behaviour=dice.seconds,
        heal=dice.heal,
        # A blocked key would hold up all others once a small map is full: as it should.
        map_characters=None if handling.on_failure == "block" else small,
        hits=dice.hits,
        dead_letters=(DEAD,),
        counts=counts,
        limits=Limits(
            window_records=random.choice((40, 12, 6)),
            commit_interval=0.25,
            revoke_timeout=2.0,
            suspect_after=random.choice((1, 2, 3)),
            commit_records=random.choice((5, 1_000)),
        ),
        piece=random.choice((1, 1, 2, PIECE)) if counts else PIECE,
    )


def key_of(route: Route, record: Record) -> str | None:
    """Whose state a record belongs to, as histories name it."""
    try:
        key = record.key if route.ordering_key is None else route.ordering_key(record)
    except Exception:
        return None
    return None if key is None else order_text(key)


def emit_id(piece: Slice, index: int) -> Effects | None:
    """The handler of random scenarios: does what its record says."""
    record = piece.records[index]
    _fail_if_told(piece, index)
    if record.value == b"silent":
        return None
    effects = Effects()
    effects.emits.append(Message(OUTPUT, record.id.encode(), record.key))
    return effects


def count_and_emit(piece: Slice, index: int) -> Effects | None:
    """The same, and counts the records of its key in state; it emits the number, too."""
    record = piece.records[index]
    _fail_if_told(piece, index)
    context, number = Context(piece, index), 0
    if record.key is not None:
        number = context.state.get(COUNT, 0) + 1
        context.state.set(COUNT, number)
    if record.value != b"silent":
        context.emit(OUTPUT, f"{record.id} {number}")
    return context.effects


def _fail_if_told(piece: Slice, index: int) -> None:
    value = piece.records[index].value
    if value == b"poison":
        raise UndecodableRecordError("poison")
    if value == b"discard":
        raise Discard("it says so")
    if value == b"later" and piece.attempt(index) == 1:
        raise Retry.later(0.4)


def picky(record: Record) -> bytes | None:
    """A partitioner that cannot deal with an empty key."""
    if record.key == b"":
        raise ValueError("an empty key")
    return record.key
