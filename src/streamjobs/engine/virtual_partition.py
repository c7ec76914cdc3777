"""One virtual partition: what waits in it, and whose turn it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from streamjobs.engine.orders import Order
from streamjobs.record import Record

__all__ = ("VirtualPartition",)

TURN: Final = 16
"""Records one order may run before the next one's turn."""


class VirtualPartition:
    """A line of records for each order; the lines take turns.

    A parked order keeps its line, which goes on growing behind the record that failed, but
    takes no turns: so only that order waits.

    Attributes:
        index: its number within the partition.
        running: whether a worker has a slice of it. One slice at a time, one record at a time.
        ready: whether it stands in the scheduler's queue of ready ones.
        load: records that wait or run here; those of parked orders do not count.
    """

    __slots__ = ("_lines", "_parked", "_turns", "index", "load", "ready", "running")

    def __init__(self, index: int) -> None:
        self.index = index
        self.running = False
        self.ready = False
        self.load = 0
        self._lines: dict[Order, list[Record]] = {}
        self._turns: deque[Order] = deque()
        self._parked: dict[Order, list[Record]] = {}

    @property
    def startable(self) -> bool:
        """Whether a slice could be taken from it now."""
        return bool(self._lines) and not self.running

    def holds(self, order: Order) -> bool:
        """Whether records of this order wait here, or it is parked here."""
        return order in self._lines or order in self._parked

    def push(self, order: Order, record: Record) -> None:
        """Put a record behind all others of its order."""
        if self._parked and order in self._parked:
            self._parked[order].append(record)
            return
        line = self._lines.get(order)
        if line is None:
            self._lines[order] = [record]
            self._turns.append(order)
        else:
            line.append(record)
        self.load += 1

    def take(self, limit: int) -> tuple[list[Record], list[Order]]:
        """Up to `limit` records for one slice, and the order of each."""
        records: list[Record] = []
        orders: list[Order] = []
        lines, turns, left = self._lines, self._turns, limit
        while turns and left:
            order = turns.popleft()
            line = lines.pop(order)
            # An order that is alone has nobody to take turns with.
            count = min(TURN, left) if turns else left
            taken = line
            if len(line) > count:
                taken = line[:count]
                del line[:count]
                lines[order] = line
                turns.append(order)
            records += taken
            orders += [order] * len(taken)
            left -= len(taken)
        return records, orders

    def waiting(self, order: Order) -> int:
        """How many records of this order wait here, parked or not."""
        return len(self._lines.get(order) or self._parked.get(order) or ())

    def unload(self, order: Order, stay: int) -> list[Record]:
        """Take the records of a parked order out of memory, but for the first `stay` ones; it stays
        parked.
        """
        line = self._parked[order]
        records, self._parked[order] = line[stay:], line[:stay]
        return records

    def reload(self, order: Order, records: list[Record]) -> None:
        """Undo `unload`."""
        self._parked[order] += records

    def heads(self) -> Iterator[tuple[Order, Record]]:
        """The first record of each order that is not parked."""
        for order, line in self._lines.items():
            yield order, line[0]

    def take_one(self, order: Order) -> Record:
        """The first record of this order, for a slice of its own."""
        line = self._lines[order]
        record = line.pop(0)
        if not line:
            del self._lines[order]
            self._turns.remove(order)
        return record

    def give_back(self, order: Order, records: Sequence[Record]) -> None:
        """Put taken records, which have to run (again), before all others of their order."""
        line = self._lines.get(order)
        if line is None:
            self._turns.append(order)
        self._lines[order] = [*records, *(line or ())]

    def park(self, order: Order) -> None:
        """This order takes no turns until `wake`; what comes for it is kept in line."""
        line = self._lines.pop(order, None)
        if line is None:
            self._parked[order] = []
            return
        self._turns.remove(order)
        self.load -= len(line)
        self._parked[order] = line

    def wake(self, order: Order) -> None:
        """A parked order takes turns again, the next one first."""
        line = self._parked.pop(order)
        if line:
            self.load += len(line)
            self._lines[order] = line
            self._turns.appendleft(order)

    def drop_head(self, order: Order) -> Record:
        """Take the first record of a parked order out of its line: it will not run."""
        return self._parked[order].pop(0)

    def head(self, order: Order) -> Record:
        """The first record of a parked order."""
        return self._parked[order][0]

    @property
    def parked(self) -> bool:
        """Whether any order is parked here."""
        return bool(self._parked)

    def is_parked(self, order: Order) -> bool:
        """Whether this order is parked here."""
        return order in self._parked
