"""One assignment of one partition to this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.completion_map import Runs
from streamjobs.engine.distribution import Distributor, distributor_for
from streamjobs.engine.effects import Waiting
from streamjobs.engine.ledger import Frozen, Ledger
from streamjobs.engine.orders import Order
from streamjobs.engine.route import Route
from streamjobs.engine.virtual_partition import VirtualPartition
from streamjobs.record import Record

__all__ = ("Generation", "Trouble")


@dataclass(slots=True)
class Trouble:
    """A record that failed and has to be attempted again; its order is parked meanwhile."""

    offset: int
    attempts: int
    error: Exception
    due: float


class Generation:
    """All state of one partition from its assignment to its revocation. Compared by identity:
    when the partition comes back it is another generation, and results of this one are stale.

    Attributes:
        ledger: what is complete.
        virtual_partitions: what waits and what runs.
        troubles: by order, the failed record at the head of its line.
        revoked, stopping: told to the handlers; `halted` is either.
        held: records in memory that are not settled; `held_bytes` their size.
        backlog: records that were read but do not fit into the completion map yet.
        full: whether that was so when the owner last looked.
        unacknowledged: by order, records that are over while something emitted by them, or by
            an earlier one of the order, has not arrived; the outbox keeps it.
        emitting: how many of them wait for an answer about what they emitted themselves.
        committed: what the broker is known to have.
        dirty: whether anything happened since the last freeze.
    """

    __slots__ = (
        "_distributor",
        "backlog",
        "committed",
        "dirty",
        "emitting",
        "full",
        "halted",
        "held",
        "held_bytes",
        "ledger",
        "partition",
        "revoked",
        "route",
        "stopping",
        "troubles",
        "unacknowledged",
        "virtual_partitions",
    )

    def __init__(
        self, partition: TopicPartition, route: Route, frontier: int, completed: Runs = ()
    ) -> None:
        self.partition = partition
        self.route = route
        self.ledger = Ledger(frontier, completed)
        self.virtual_partitions = [
            VirtualPartition(index) for index in range(route.virtual_partitions.count)
        ]
        self.troubles: dict[Order, Trouble] = {}
        self.emitting = 0
        self.unacknowledged: dict[Order, deque[Waiting]] = {}
        self.revoked = False
        self.stopping = False
        self.halted = False
        self.held = 0
        self.held_bytes = 0
        self.backlog: list[Record] = []
        self.full = False
        self.committed: Frozen | None = None
        self.dirty = False
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

    def lane_of(self, order: Order) -> VirtualPartition | None:
        """Where records of this order wait; None if none does."""
        return next((lane for lane in self.virtual_partitions if lane.holds(order)), None)

    def release(self, lane: VirtualPartition, orders: Sequence[Order]) -> None:
        """A slice with these orders ended: those with nothing pending are free to move."""
        self._distributor.release(lane, orders)

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
