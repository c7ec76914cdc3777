"""Which virtual partition an order goes to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from xxhash import xxh3_64_intdigest

from streamjobs.engine.orders import Order
from streamjobs.engine.virtual_partition import VirtualPartition
from streamjobs.partitioning import virtual_partition_for
from streamjobs.policies import VirtualPartitions
from streamjobs.record import Record

__all__ = ("Distributor", "distributor_for")


def distributor_for(policy: VirtualPartitions, lanes: Sequence[VirtualPartition]) -> Distributor:
    """The distributor that a policy asks for."""
    if policy.ordering == "none":
        return Spread(lanes)
    if policy.count == 1:
        return WholePartition(lanes)
    if policy.ordering == "virtual_partition":
        return WholeLanes(lanes)
    return Balanced(lanes) if policy.distribution == "balanced" else Consistent(lanes)


class Distributor(ABC):
    """Pushes records to virtual partitions. Never moves an order while it has work."""

    def __init__(self, lanes: Sequence[VirtualPartition]) -> None:
        self._lanes = lanes
        self._next = 0

    def order(self, key: bytes | None, record: Record) -> Order:
        """What order is kept for a record with this ordering key."""
        return record if key is None else key

    def push(self, order: Order, record: Record) -> VirtualPartition:
        """Queue the record; returns where."""
        lane = self._in_turn() if order is record else self.home(order)
        lane.push(order, record)
        return lane

    @abstractmethod
    def home(self, order: Order) -> VirtualPartition:
        """Where records of this order go (are bound to go) from now on."""

    def release(self, lane: VirtualPartition, orders: Sequence[Order]) -> None:  # noqa: B027
        """A slice of `lane` ended in which these orders ran."""

    def _in_turn(self) -> VirtualPartition:
        """The next virtual partition, for a record without order."""
        self._next = (self._next + 1) % len(self._lanes)
        return self._lanes[self._next]


class Consistent(Distributor):
    """A key always has the same virtual partition: a hash of the key."""

    def home(self, order: Order) -> VirtualPartition:
        assert isinstance(order, bytes)
        return self._lanes[virtual_partition_for(order, len(self._lanes))]


class WholeLanes(Distributor):
    """As `Consistent`, and the order that is kept is that of the whole virtual partition."""

    def order(self, key: bytes | None, record: Record) -> Order:
        return record if key is None else virtual_partition_for(key, len(self._lanes))

    def home(self, order: Order) -> VirtualPartition:
        assert isinstance(order, int)
        return self._lanes[order]


class WholePartition(Distributor):
    """One virtual partition keeps the order of all records, those without a key included: as if
    the partition were read by one thread.
    """

    def order(self, key: bytes | None, record: Record) -> Order:
        return 0

    def home(self, order: Order) -> VirtualPartition:
        return self._lanes[0]


class Spread(Distributor):
    """No order at all: every record is an order of its own, and they go around."""

    def order(self, key: bytes | None, record: Record) -> Order:
        return record

    def home(self, order: Order) -> VirtualPartition:
        raise AssertionError("without order there is no home")


class Balanced(Distributor):
    """A key with nothing pending takes the least loaded virtual partition it is offered, and is
    bound to it while it has work.

    Idle ones are offered first; when none is idle, two picked by the key's hash are compared:
    nearly as even as comparing all, at the cost of two
    (M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
    """

    def __init__(self, lanes: Sequence[VirtualPartition]) -> None:
        super().__init__(lanes)
        self._homes: dict[Order, VirtualPartition] = {}
        self._idle = dict.fromkeys(lanes)

    def push(self, order: Order, record: Record) -> VirtualPartition:
        lane = self.home(order)
        lane.push(order, record)
        return lane

    def home(self, order: Order) -> VirtualPartition:
        lane = self._homes.get(order)
        if lane is None:
            lane = self._homes[order] = self._pick(order)
        return lane

    def release(self, lane: VirtualPartition, orders: Sequence[Order]) -> None:
        for order in orders:
            if not lane.holds(order):
                self._homes.pop(order, None)
        if not lane.load:
            self._idle[lane] = None

    def _pick(self, order: Order) -> VirtualPartition:
        while self._idle:
            lane, _ = self._idle.popitem()
            if not lane.load:
                return lane
        first, second = self._choices(order)
        return first if first.load <= second.load else second

    def _choices(self, order: Order) -> tuple[VirtualPartition, VirtualPartition]:
        """By xxh3 and not by `hash()`, which differs from process to process."""
        count = len(self._lanes)
        self._next += 1
        digest = xxh3_64_intdigest(order) if isinstance(order, bytes) else self._next * 7919
        return self._lanes[digest % count], self._lanes[digest // count % count]
