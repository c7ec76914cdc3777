"""What may run now: a state machine over all assigned partitions.

Events go in (records polled, a slice's results, a timer due, a partition revoked), decisions
come out (slices to start, records to settle). It has no thread, no clock and does no I/O.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.completion_map import Runs
from streamjobs.engine.effects import Effects
from streamjobs.engine.events import Events
from streamjobs.engine.failure import Park
from streamjobs.engine.generation import Generation, Trouble
from streamjobs.engine.orders import Order
from streamjobs.engine.pace import Pace
from streamjobs.engine.route import ExecutionKind, Route
from streamjobs.engine.slices import Slice
from streamjobs.engine.virtual_partition import VirtualPartition
from streamjobs.record import Record

__all__ = ("Keep", "Scheduler")

Keep = Callable[[Generation, Order, Record, Effects | None], None]
"""Takes over a record that is over, with the effects of its attempt. It is settled for its order
from then on, and complete when `Scheduler.complete` is called for it."""

_UNORDERED: Final = Record


class Scheduler:
    """Decides which records may run, so that no order is broken and nothing is lost.

    Args:
        routes: how each topic is treated.
        events: told about what happens.
    """

    def __init__(self, routes: Mapping[str, Route], events: Events) -> None:
        self.generations: dict[TopicPartition, Generation] = {}
        self.running: dict[Slice, None] = {}
        self._routes = routes
        self._events = events
        self._paces = {topic: Pace() for topic in routes}
        self._ready: dict[ExecutionKind, deque[tuple[Generation, VirtualPartition]]] = {
            route.execution: deque() for route in routes.values()
        }
        self._timers: list[tuple[float, int, Generation, VirtualPartition, Order]] = []
        self._sequence = count()
        self._fences: dict[Slice, list[tuple[Generation, VirtualPartition, Order]]] = {}

    # -- partitions come and go --------------------------------------------------------------

    def assign(self, partition: TopicPartition, frontier: int, completed: Runs = ()) -> Generation:
        """Begin a generation of this partition; an older one must have been dropped."""
        route = self._routes[partition.topic]
        generation = Generation(partition, route, frontier, completed)
        self.generations[partition] = generation
        for running in self.running:
            if running.generation.partition == partition:
                self._fence(generation, running)
        return generation

    def drop(self, generation: Generation) -> None:
        """End a generation. Results that still come for it are ignored."""
        generation.revoke()
        if self.generations.get(generation.partition) is generation:
            del self.generations[generation.partition]

    def is_current(self, generation: Generation) -> bool:
        """Whether this is the generation that owns its partition now."""
        return self.generations.get(generation.partition) is generation

    def _fence(self, generation: Generation, running: Slice) -> None:
        """Orders that still run under an older generation wait until they end there."""
        fences = self._fences.setdefault(running, [])
        for order in dict.fromkeys(running.orders[running.merged :]):
            if not isinstance(order, _UNORDERED):
                fences.append((generation, generation.fence(order), order))

    # -- records come in ---------------------------------------------------------------------

    def accept(self, generation: Generation, records: Sequence[Record]) -> None:
        """Register and queue records that were read, in the order of the log.

        What does not fit into the completion map is kept in the generation's backlog, and so is
        all that comes behind it.
        """
        if generation.backlog:
            records = self._behind_backlog(generation, records)
            generation.backlog = []
        if not records:
            return
        offsets = [record.offset for record in records]
        fitting = generation.ledger.fits(offsets)
        if fitting < len(records):
            generation.backlog = list(records[fitting:])
            records, offsets = records[:fitting], offsets[:fitting]
        if records:
            self._register(generation, records, offsets)

    def _behind_backlog(
        self, generation: Generation, records: Sequence[Record]
    ) -> Sequence[Record]:
        """The backlog and these records, ascending: without those delivered a second time."""
        last = generation.backlog[-1].offset
        if records and records[0].offset <= last:
            again = [record for record in records if record.offset <= last]
            records = records[len(again) :]
            self._events.left_out(generation, again)
        return [*generation.backlog, *records]

    def holder(self, generation: Generation) -> Order | None:
        """The order of the record at the frontier, if it failed or runs: whom all wait for when
        the completion map is full.
        """
        frontier = generation.ledger.frontier
        for order, trouble in generation.troubles.items():
            if trouble.offset == frontier:
                return order
        for piece in self.running:
            for record, order in zip(piece.records, piece.orders, strict=True):
                if piece.generation is generation and record.offset == frontier:
                    return order
        return None

    def _register(
        self, generation: Generation, records: Sequence[Record], offsets: Sequence[int]
    ) -> None:
        fresh = generation.ledger.register(offsets)
        generation.dirty = True
        if len(fresh) < len(offsets):
            wanted = set(fresh)
            left_out = [record for record in records if record.offset not in wanted]
            records = [record for record in records if record.offset in wanted]
            self._events.left_out(generation, left_out)
        generation.held += len(records)
        generation.held_bytes += sum([record.size for record in records])
        for record in records:
            try:
                order = generation.order(record)
            except Exception as error:
                self._refuse(generation, record, error)
            else:
                self._make_ready(generation, generation.push(order, record))
        self._events.accepted(generation, records)

    def _refuse(self, generation: Generation, record: Record, error: Exception) -> None:
        """A record whose partitioner raises has no order and no place to wait."""
        generation.held -= 1
        generation.held_bytes -= record.size
        self._events.discarded(generation, record, error)
        self.complete(generation, [record.offset])

    # -- slices go out -----------------------------------------------------------------------

    @property
    def kinds(self) -> Iterable[ExecutionKind]:
        """The kinds of execution that the routes need."""
        return self._ready.keys()

    def start(self, kind: ExecutionKind, free: int) -> list[Slice]:
        """Up to `free` slices for workers of this kind, the longest ready first."""
        ready = self._ready[kind]
        roomy = len(ready) <= free
        slices: list[Slice] = []
        while ready and len(slices) < free:
            generation, lane = ready.popleft()
            lane.ready = False
            if generation.halted or not lane.startable:
                continue
            pace = self._paces[generation.partition.topic]
            records, orders = lane.take(pace.roomy_limit if roomy else pace.limit)
            lane.running = True
            slices.append(
                Slice(generation, lane, records, orders, _attempts(generation, records, orders))
            )
        self.running.update(dict.fromkeys(slices))
        return slices

    def _make_ready(self, generation: Generation, lane: VirtualPartition) -> None:
        if not lane.ready and lane.startable:
            lane.ready = True
            self._ready[generation.route.execution].append((generation, lane))

    # -- results come back -------------------------------------------------------------------

    def harvest(self, piece: Slice, keep: Keep) -> None:
        """Take over what a running slice has done so far, so that one slow record does not hold
        back the commit of those before it.
        """
        if self.is_current(piece.generation) and not piece.failures and not piece.skipped:
            self._settle(piece, piece.progress, keep)

    def finish(self, piece: Slice, now: float, keep: Keep) -> None:
        """A worker is through with this slice."""
        del self.running[piece]
        generation, lane = piece.generation, piece.lane
        self._release_fences(piece)
        self._paces[generation.partition.topic].observe(piece.progress, piece.seconds)
        if not self.is_current(generation):
            self._events.stale(piece)
            return
        lane.running = False
        if piece.failures or piece.skipped or piece.progress < len(piece.records):
            self._settle_troubled(piece, now, keep)
        else:
            self._settle(piece, len(piece.records), keep)
        generation.release(lane, piece.orders)
        self._make_ready(generation, lane)

    def complete(self, generation: Generation, offsets: Sequence[int]) -> None:
        """The effects of these records are acknowledged; `Keep` took them over before."""
        generation.ledger.complete(offsets)
        generation.dirty = True

    def _settle(self, piece: Slice, stop: int, keep: Keep) -> None:
        """The records up to `stop` succeeded."""
        if stop == piece.merged:
            return
        generation = piece.generation
        records = piece.records[piece.merged : stop]
        self._forget(piece, records)
        if generation.troubles:
            for order in set(piece.orders[piece.merged : stop]):
                generation.troubles.pop(order, None)
        if piece.effects or generation.unacknowledged:
            records = list(self._keep(piece, stop, keep))
        self._events.settled(generation, piece.records[piece.merged : stop])
        piece.merged = stop
        self.complete(generation, [record.offset for record in records])

    def _forget(self, piece: Slice, records: Sequence[Record]) -> None:
        """These records are no longer held in memory."""
        piece.generation.held -= len(records)
        piece.generation.held_bytes -= sum([record.size for record in records])
        piece.lane.load -= len(records)

    def _keep(self, piece: Slice, stop: int, keep: Keep) -> Iterator[Record]:
        """Hand over, in order, what has effects and what stands behind such a record; yields the
        records that are complete at once.
        """
        generation = piece.generation
        for index in range(piece.merged, stop):
            record, order = piece.records[index], piece.orders[index]
            effects = piece.effects.get(index)
            if effects is None and order not in generation.unacknowledged:
                yield record
            else:
                keep(generation, order, record, effects)

    def _settle_troubled(self, piece: Slice, now: float, keep: Keep) -> None:
        """Some records failed or did not run: those go back to the head of their lines."""
        again: dict[Order, list[Record]] = {}
        parked: list[tuple[Order, Trouble]] = []
        start, total = piece.merged, len(piece.records)
        for index in range(start, total):
            record, order = piece.records[index], piece.orders[index]
            if index >= piece.progress or index in piece.skipped:
                again.setdefault(order, []).append(record)
            elif index in piece.failures:
                trouble = self._judge(piece, index, now, keep)
                if trouble:
                    again.setdefault(order, []).append(record)
                    parked.append((order, trouble))
            else:
                piece.merged = index
                self._settle(piece, index + 1, keep)
        for order, records in again.items():
            piece.lane.give_back(order, records)
        for order, trouble in parked:
            self._park(piece.generation, piece.lane, order, trouble)

    def _judge(self, piece: Slice, index: int, now: float, keep: Keep) -> Trouble | None:
        """The verdict on a failed attempt: trouble to come back to, or None if it was given up."""
        generation, record = piece.generation, piece.records[index]
        error, attempt = piece.failures[index], piece.attempt(index)
        verdict = generation.route.failures.decide(error, attempt)
        if isinstance(verdict, Park):
            self._events.failed(generation, record, error, attempt, verdict.seconds)
            return Trouble(record.offset, attempt, error, now + verdict.seconds)
        order = piece.orders[index]
        generation.troubles.pop(order, None)
        self._forget(piece, [record])
        self._events.discarded(generation, record, error)
        if order in generation.unacknowledged:
            keep(generation, order, record, None)
        else:
            self.complete(generation, [record.offset])
        return None

    # -- time passes -------------------------------------------------------------------------

    def _park(
        self, generation: Generation, lane: VirtualPartition, order: Order, trouble: Trouble
    ) -> None:
        generation.troubles[order] = trouble
        lane.park(order)
        timer = (trouble.due, next(self._sequence), generation, lane, order)
        heapq.heappush(self._timers, timer)

    def wake(self, now: float) -> None:
        """Parked orders whose pause is over may run again."""
        while self._timers and self._timers[0][0] <= now:
            _, _, generation, lane, order = heapq.heappop(self._timers)
            self._unpark(generation, lane, order)

    def next_timer(self) -> float | None:
        """When `wake` has something to do next."""
        return self._timers[0][0] if self._timers else None

    def _unpark(self, generation: Generation, lane: VirtualPartition, order: Order) -> None:
        if self.is_current(generation) and lane.is_parked(order):
            lane.wake(order)
            self._make_ready(generation, lane)

    def _release_fences(self, piece: Slice) -> None:
        for generation, lane, order in self._fences.pop(piece, ()):
            self._unpark(generation, lane, order)


def _attempts(
    generation: Generation, records: Sequence[Record], orders: Sequence[Order]
) -> dict[int, int]:
    """The number of the attempt by index, where it is not the first one."""
    if not generation.troubles:
        return {}
    return {
        index: trouble.attempts + 1
        for index, order in enumerate(orders)
        if (trouble := generation.troubles.get(order)) and trouble.offset == records[index].offset
    }
