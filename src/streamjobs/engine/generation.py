"""One assignment of one partition to this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.completion_map import Runs
from streamjobs.engine.cursors import Cursors
from streamjobs.engine.deferred import Deferred
from streamjobs.engine.distribution import Distributor, distributor_for
from streamjobs.engine.effects import Waiting
from streamjobs.engine.ledger import Frozen, Ledger
from streamjobs.engine.notes import Attempts, Notes, write_notes
from streamjobs.engine.orders import Order
from streamjobs.engine.route import Route
from streamjobs.engine.snapshot import Snapshot
from streamjobs.engine.troubles import Trouble
from streamjobs.engine.virtual_partition import VirtualPartition
from streamjobs.record import Record
from streamjobs.state.cache import WriteBackCache

if TYPE_CHECKING:
    from streamjobs.engine.holds import Holds

__all__ = ("Gate", "Generation")

Gate = Literal["opening", "quarantine", "breaker", "cursors", "letters", "state"]
"""Why nothing of a generation may start as usual. "opening": the broker does not know yet that it
has an owner, so that a death would go unnoticed. "quarantine": its records run one at a time.
"breaker": too many have died. "cursors", "letters", "state": it is not read yet where its long jobs
had got to, which of its keys have letters that hold them, or what its state is.
"""


class Generation:
    """All state of one partition from its assignment to its revocation. Compared by identity:
    when the partition comes back it is another generation, and results of this one are stale.

    Attributes:
        ledger: what is complete.
        virtual_partitions: what waits and what runs.
        troubles: by order, the failed record at the head of its line.
        deferred: records that are remembered by their offsets alone.
        cursors: how far its long jobs have got.
        holds: which of its keys have letters that hold back what comes later; None if none can.
        stores: its state, by the store's name; `changelog_ends` the offset behind the last change
            that is committed.
        is_mixed: whether records of several orders have come.
        refused: by offset, why a record must not be attempted; it fails with that on its turn.
        revoked, stopping: told to the handlers; `halted` is either.
        held: records in memory that are not settled; `held_bytes` their size.
        backlog: records that were read but do not fit into the completion map yet.
        unaligned: records that wait for those of other topics, see `Alignment`.
        full_at: where the frontier was when the owner last tried to register it; None while
            there is none.
        unacknowledged: by order, records that are over while something emitted by them, or by
            an earlier one of the order, has not arrived; the outbox keeps it.
        emitting: how many of them wait for an answer about what they emitted themselves.
        notes: what the owner before us noted; `past` are the attempts it knew of, until their
            records are read again.
        gates: why nothing may start yet, see `Gate`.
        trial: the offset of the record that runs alone, while one does.
        suspects: how many of its records have to run alone, one after another; those below
            `horizon` only, where the log ended when the first one did.
        committed: what the broker is known to have.
        dirty: whether anything happened since the last freeze.
        doomed: whether something that it emitted did not arrive: it will be read again from its
            last commit, and nothing that it does any more is to be committed.
    """

    __slots__ = (
        "__weakref__",
        "_accused",
        "_distributor",
        "_ends",
        "_lonely_deaths",
        "_stuck_at",
        "backlog",
        "changelog_ends",
        "committed",
        "cursors",
        "deferred",
        "dirty",
        "doomed",
        "emitting",
        "full_at",
        "gates",
        "halted",
        "held",
        "held_bytes",
        "holds",
        "horizon",
        "is_mixed",
        "ledger",
        "partition",
        "past",
        "refused",
        "revoked",
        "route",
        "stopping",
        "stores",
        "suspects",
        "trial",
        "troubles",
        "unacknowledged",
        "unaligned",
        "virtual_partitions",
    )

    def __init__(
        self,
        partition: TopicPartition,
        route: Route,
        frontier: int,
        completed: Runs = (),
        notes: Notes = Notes(),  # noqa: B008  # a frozen value
    ) -> None:
        self.partition = partition
        self.route = route
        self.ledger = Ledger(frontier, completed)
        self.virtual_partitions = [
            VirtualPartition(index) for index in range(route.virtual_partitions.count)
        ]
        self.troubles: dict[Order, Trouble] = {}
        self.cursors = Cursors()
        self.holds: Holds | None = None
        self.stores: dict[str, WriteBackCache] = {}
        self.changelog_ends = dict(
            zip(sorted(route.changelogs), notes.changelog_ends, strict=False)
        )
        self.deferred = Deferred()
        self.is_mixed = False
        self.refused: dict[int, Exception] = {}
        self.past = dict(notes.attempts)
        self.gates: set[Gate] = set()
        self.trial: int | None = None
        self.suspects = 0
        self.horizon = 0
        self._ends = notes.ends
        self._accused = notes.accused if notes.lonely_deaths else None
        self._lonely_deaths = notes.lonely_deaths
        self._stuck_at = self.ledger.frontier
        self.emitting = 0
        self.unacknowledged: dict[Order, deque[Waiting]] = {}
        self.revoked = False
        self.stopping = False
        self.halted = False
        self.held = 0
        self.held_bytes = 0
        self.backlog: list[Record] = []
        self.unaligned: deque[Record] = deque()
        self.full_at: int | None = None
        self.committed: Frozen | None = None
        self.dirty = False
        self.doomed = False
        self._distributor: Distributor = distributor_for(
            route.virtual_partitions, self.virtual_partitions
        )

    def order(self, record: Record) -> Order:
        """What order is kept for this record; the record itself where it has none.

        Raises:
            Exception: whatever the user's partitioner raises.
        """
        ordering_key = self.route.ordering_key
        key = record.key if ordering_key is None else ordering_key(record)
        return self._distributor.order(key, record)

    def push(self, order: Order, record: Record) -> VirtualPartition:
        """Queue a registered record; returns the virtual partition it went to."""
        return self._distributor.push(order, record)

    def home(self, order: Order) -> VirtualPartition:
        """Where records of this order are queued."""
        return self._distributor.home(order)

    def release(self, lane: VirtualPartition, orders: Sequence[Order]) -> None:
        """A slice with these orders ended: those with nothing pending are free to move."""
        self._distributor.release(lane, orders)

    def freeze(self, *, closed: bool = False) -> Frozen:
        """The progress of this moment, to be committed; `closed` when the generation ends in good
        order with it.
        """
        return self.snapshot(closed=closed).frozen(self.ends)

    @property
    def ends(self) -> list[int]:
        """The ends of its changelogs, by the order of the names of their stores."""
        return [self.changelog_ends.get(store, 0) for store in sorted(self.route.changelogs)]

    def snapshot(self, *, closed: bool = False) -> Snapshot:
        """The same without the ends of the changelogs."""
        progress = self.ledger.progress()
        frontier = progress.frontier
        trial = self.trial
        if trial is not None and self.ledger.is_complete(trial):
            trial = None  # it has survived
        accused = self._accused
        if accused is not None and self.ledger.is_complete(accused):
            accused = None
        troubled = [
            Attempts(each.offset, each.attempts, each.first, each.until)
            for each in self.troubles.values()
        ]
        fields = write_notes(
            frontier,
            [*self.past.values(), *troubled],
            closed=closed,
            ends=self._ends if frontier == self._stuck_at else 0,
            trial=trial,
            accused=-1 if accused is None else accused,
            lonely_deaths=0 if accused is None else self._lonely_deaths,
        )
        return Snapshot(progress, fields)

    def fence(self, order: Order) -> VirtualPartition:
        """Park an order which still runs under an older generation of the same partition."""
        lane = self._distributor.home(order)
        if not lane.is_parked(order):
            lane.park(order)
        return lane

    def revoke(self) -> None:
        """The partition goes away: nothing more starts, and `ctx.revoked` turns true."""
        self.revoked = self.halted = True

    def stop(self) -> None:
        """The app stops: nothing more starts, and `ctx.stopping` turns true."""
        self.stopping = self.halted = True

    def __repr__(self) -> str:
        return f"<Generation {self.partition} from {self.ledger.frontier}>"
