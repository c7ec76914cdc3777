"""What may run now: a state machine over all assigned partitions.

Events go in (records polled, a slice's results, a timer due, a partition revoked), decisions
come out (slices to start, records to settle). It has no thread, no clock and does no I/O.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.completion_map import Runs
from streamjobs.engine.effects import Effects
from streamjobs.engine.events import Events
from streamjobs.engine.generation import Gate, Generation
from streamjobs.engine.holds import Holds
from streamjobs.engine.notes import Notes
from streamjobs.engine.orders import Order
from streamjobs.engine.pace import Pace
from streamjobs.engine.route import Downstream, ExecutionKind, Route
from streamjobs.engine.sinks import NoSinks, Sinks
from streamjobs.engine.slices import Slice
from streamjobs.engine.troubles import Burial, Trouble, Troubles
from streamjobs.engine.virtual_partition import VirtualPartition
from streamjobs.errors import (
    AttemptInterruptedError,
    PartitionerError,
    RecordGoneError,
    SequencedRecordError,
)
from streamjobs.record import Record
from streamjobs.stacks import text_of
from streamjobs.state.changelog import Changes

__all__ = ("Keep", "Scheduler")

Keep = Callable[[Generation, Order, Record, Effects | None], None]
"""Takes over a record that is over, with the effects of its attempt. It is settled for its order
from then on, and complete when `Scheduler.complete` is called for it."""

_UNORDERED: Final = Record

PARKED_SHARE: Final = 16
"""Records of a parked order that stay in memory; of those behind them, only offsets are kept."""

HUNGRY: Final = 64
"""With fewer than that in memory, an order's deferred records are read again."""


class Scheduler:
    """Decides which records may run, so that no order is broken and nothing is lost.

    Args:
        routes: how each topic is treated.
        events: told about what happens.
        wall: seconds since the epoch.
        window: how many records of one partition may be in memory; a key that would fill it alone
            is deferred.
        sinks: get what attempts have for them.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        events: Events,
        wall: Callable[[], float] = time.time,
        window: int = 10_000,
        sinks: Sinks | None = None,
    ) -> None:
        self.generations: dict[TopicPartition, Generation] = {}
        self.running: dict[Slice, None] = {}
        self._routes = routes
        self._events = events
        self._paces = {topic: Pace() for topic in routes}
        self._ready: dict[ExecutionKind, deque[tuple[Generation, VirtualPartition]]] = {
            route.execution: deque() for route in routes.values()
        }
        self.troubles = Troubles(events, wall)
        self._sinks = sinks or NoSinks()
        self._crowded = window // 2
        self._flood = max(1, window // 4)
        self._fences: dict[Slice, list[tuple[Generation, VirtualPartition, Order]]] = {}

    def usual_seconds(self, topic: str) -> float:
        """How long a record of this topic takes; 0 if nothing is known."""
        return self._paces[topic].mean

    # -- partitions come and go --------------------------------------------------------------

    def assign(
        self,
        partition: TopicPartition,
        frontier: int,
        completed: Runs = (),
        notes: Notes = Notes(),  # noqa: B008  # a frozen value
    ) -> Generation:
        """Begin a generation of this partition; an older one must have been dropped."""
        route = self._routes[partition.topic]
        generation = Generation(partition, route, frontier, completed, notes)
        self.generations[partition] = generation
        for running in self.running:
            if running.generation.partition == partition:
                self._fence(generation, running)
        return generation

    def drop(self, generation: Generation) -> None:
        """End a generation. Results that still come for it are ignored."""
        generation.revoke()
        self.troubles.forget(generation)
        if self.generations.get(generation.partition) is generation:
            del self.generations[generation.partition]

    def is_current(self, generation: Generation) -> bool:
        """Whether this is the generation that owns its partition now."""
        return self.generations.get(generation.partition) is generation

    @property
    def emitting(self) -> bool:
        """Whether anything that was emitted waits for its acknowledgement."""
        return any(generation.emitting for generation in self.generations.values())

    def company(self, generation: Generation) -> list[Generation]:
        """This one, and those of other topics that share stores with it: they are given up, and
        begin again, together.
        """
        number = generation.partition.partition
        others = [TopicPartition(topic, number) for topic in sorted(generation.route.together)]
        known = self.generations
        return [known[each] for each in others if each in known] or [generation]

    def _fence(self, generation: Generation, running: Slice) -> None:
        """Orders that still run under an older generation wait until they end there."""
        fences = self._fences.setdefault(running, [])
        for order in dict.fromkeys(running.orders[running.merged :]):
            if not isinstance(order, _UNORDERED):
                fences.append((generation, generation.fence(order), order))

    # -- records come in ---------------------------------------------------------------------

    def accept(self, generation: Generation, records: Sequence[Record], now: float = 0.0) -> None:
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
            self._register(generation, records, offsets, now)

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
        self,
        generation: Generation,
        records: Sequence[Record],
        offsets: Sequence[int],
        now: float,
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
        careful = generation.deferred or generation.troubles or generation.held > self._crowded
        watchful = careful and self._may_have_its_share(generation, len(records))
        first: Order = None
        for record in records:
            try:
                order = generation.order(record)
            except MemoryError:
                raise
            except Exception as error:
                order = record  # nobody knows its order: it has none, and fails on its turn
                generation.refused[record.offset] = _partitioner_error(error)
            if careful:
                first = order if first is None else first
                generation.is_mixed = generation.is_mixed or order != first
                if watchful and order is not record and self._has_its_share(generation, order):
                    self._defer(generation, order, record)
                    continue
            self._queue(generation, order, record, now)
        if careful and generation.held > self._crowded:
            self._make_room(generation)
        self._events.accepted(generation, records)

    def _queue(self, generation: Generation, order: Order, record: Record, now: float) -> None:
        lane = generation.push(order, record)
        if generation.past and record.offset in generation.past:
            past = generation.past.pop(record.offset)
            self.troubles.restore(generation, lane, order, record, past, now)
        self._make_ready(generation, lane)

    # -- what does not stay in memory --------------------------------------------------------

    def _may_have_its_share(self, generation: Generation, coming: int) -> bool:
        """Whether any order can have it when so many more have come; asked once for all of them."""
        return bool(
            generation.deferred
            or generation.troubles
            or any(
                lane.parked or lane.load + coming >= self._flood
                for lane in generation.virtual_partitions
            )
        )

    def _has_its_share(self, generation: Generation, order: Order) -> bool:
        """Whether so many records of this order are in memory that others would want for room."""
        if order in generation.deferred:
            return True
        lane = generation.home(order)
        if lane.is_parked(order):
            return lane.waiting(order) >= PARKED_SHARE
        crowded = generation.is_mixed and generation.held > self._crowded
        return crowded and lane.waiting(order) >= self._flood

    def _defer(self, generation: Generation, order: Order, record: Record) -> None:
        """Remember its offset alone."""
        if order not in generation.deferred:
            self._events.deferred(generation, order)
        generation.deferred.add(order, record.offset)
        generation.held -= 1
        generation.held_bytes -= record.size

    def _make_room(self, generation: Generation) -> None:
        """Take parked orders out of memory where they would take up too much of it: they cannot run
        now anyway. The record that failed stays, unless even those are too many.
        """
        parked = [
            (order, lane)
            for order, trouble in generation.troubles.items()
            if trouble.letter is None and not isinstance(order, _UNORDERED)
            for lane in (generation.home(order),)
            if lane.is_parked(order)
        ]
        if sum(lane.waiting(order) for order, lane in parked) <= self._flood:
            return
        stay = 1 if len(parked) <= self._flood else 0
        for order, lane in parked:
            self._unload(generation, lane, order, stay)

    def _unload(
        self, generation: Generation, lane: VirtualPartition, order: Order, stay: int
    ) -> None:
        records = lane.unload(order, stay)
        if any(record.offset in generation.refused for record in records):
            lane.reload(order, records)
        elif records:
            generation.deferred.put_before(order, [record.offset for record in records])
            generation.held -= len(records)
            generation.held_bytes -= sum([record.size for record in records])

    def refill(
        self,
        generation: Generation,
        order: Order,
        offset: int,
        record: Record | None,
        now: float,
    ) -> None:
        """A deferred record was read again; None if the log has it no more. One that came out of
        turn is read once more, when it is its turn.
        """
        if not generation.deferred.take(order, offset):
            self._feed(generation, generation.home(order), order)
            return
        gone = record is None
        if record is None:
            topic, partition = generation.partition
            key = order if isinstance(order, bytes) else None
            record = Record(topic, partition, offset, key)
            generation.refused[offset] = RecordGoneError(
                "it waited behind others of its key, and retention or compaction took it meanwhile"
            )
        generation.held += 1
        generation.held_bytes += record.size
        self._events.read_again(generation, record, gone)
        self._queue(generation, order, record, now)

    def _feed(self, generation: Generation, lane: VirtualPartition, order: Order) -> None:
        """If more of this order is deferred and little is left in memory, it is to be read."""
        runs = not lane.is_parked(order) and lane.waiting(order) < HUNGRY
        if runs and order in generation.deferred:
            generation.deferred.hungry[order] = None

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
            if generation.halted or generation.gates or not lane.startable:
                continue
            pace = self._paces[generation.partition.topic]
            records, orders = lane.take(pace.roomy_limit if roomy else pace.limit)
            lane.running = True
            slices.append(_slice(generation, lane, records, orders))
        self.running.update(dict.fromkeys(slices))
        return slices

    def close_gate(self, generation: Generation, gate: Gate) -> None:
        """Nothing of this generation starts until that gate is opened."""
        generation.gates.add(gate)

    def open_gate(self, generation: Generation, gate: Gate) -> None:
        """What waited behind this gate may start, unless another one is closed."""
        generation.gates.discard(gate)
        for lane in generation.virtual_partitions:
            self._make_ready(generation, lane)

    def start_one(self, generation: Generation, lane: VirtualPartition, order: Order) -> Slice:
        """A slice with the first record of this order alone."""
        record = lane.take_one(order)
        lane.running = True
        piece = _slice(generation, lane, (record,), (order,))
        self.running[piece] = None
        return piece

    def _make_ready(self, generation: Generation, lane: VirtualPartition) -> None:
        if not lane.ready and lane.startable and not generation.gates:
            lane.ready = True
            self._ready[generation.route.execution].append((generation, lane))

    # -- results come back -------------------------------------------------------------------

    def harvest(self, piece: Slice, keep: Keep) -> None:
        """Take over what a running slice has done so far, so that one slow record does not hold
        back the commit of those before it.
        """
        if piece.generation.route.downstream is not None:
            return  # which would run beside the handler, and could fail what runs there
        if self.is_current(piece.generation) and not piece.failures and not piece.skipped:
            self._settle(piece, piece.progress, keep)

    def harvest_all(self, keep: Keep, generation: Generation | None = None) -> None:
        """The same of all that run, or of those of one generation."""
        for piece in self.running:
            if generation is None or piece.generation is generation:
                self.harvest(piece, keep)

    def finish(self, piece: Slice, now: float, keep: Keep) -> None:
        """A worker is through with this slice."""
        del self.running[piece]
        generation, lane = piece.generation, piece.lane
        self._release_fences(piece, now)
        self._paces[generation.partition.topic].observe(piece.progress, piece.seconds)
        if not self.is_current(generation):
            self._events.stale(piece)
            return
        lane.running = False
        if generation.route.downstream is not None:
            _flow_on(piece, generation.route.downstream)
        if piece.failures or piece.skipped or piece.progress < len(piece.records):
            self._settle_troubled(piece, now, keep)
        else:
            self._settle(piece, len(piece.records), keep)
        generation.release(lane, piece.orders)
        if generation.deferred:
            for order in dict.fromkeys(piece.orders):
                self._feed(generation, lane, order)
        self._make_ready(generation, lane)

    def complete(self, generation: Generation, offsets: Sequence[int]) -> None:
        """The effects of these records are acknowledged; `Keep` took them over before."""
        generation.ledger.complete(offsets)
        generation.dirty = True
        if generation.cursors:
            generation.cursors.forget(generation.partition, offsets)

    def _settle(self, piece: Slice, stop: int, keep: Keep) -> None:
        """The records up to `stop` succeeded."""
        if stop == piece.merged:
            return
        generation = piece.generation
        records = piece.records[piece.merged : stop]
        self._events.before_settle(generation, records)
        self._forget(piece, records)
        if generation.troubles:
            settled = {record.offset for record in records}
            for order in set(piece.orders[piece.merged : stop]):
                trouble = generation.troubles.get(order)
                if trouble is not None and trouble.offset in settled:
                    del generation.troubles[order]
        if _did_nothing_but_change(piece, stop) and not generation.unacknowledged:
            _merge(generation, piece.changes)
        elif piece.effects or generation.unacknowledged:
            records = list(self._keep(piece, stop, keep))
        self._events.after_settle(generation, piece.records[piece.merged : stop])
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
            if effects is not None:
                _merge(generation, effects.changes)
                if effects.sinks is not None:
                    self._sinks.add(generation, effects.sinks)
            writes = effects is not None and bool(effects.emits)
            if not writes and order not in generation.unacknowledged:
                yield record
            else:
                keep(generation, order, record, effects)

    def _settle_troubled(self, piece: Slice, now: float, keep: Keep) -> None:
        """Some records failed or did not run: those go back to the head of their lines."""
        again: dict[Order, list[Record]] = {}
        parked: list[tuple[Order, Trouble]] = []
        total = len(piece.records)
        for index in range(piece.merged, total):
            if _succeeded(piece, index):
                continue
            if index > piece.merged:
                self._settle(piece, index, keep)
            piece.merged = index + 1
            record, order = piece.records[index], piece.orders[index]
            if index not in piece.failures or _interrupted(piece, index):
                again.setdefault(order, []).append(record)
                continue
            trouble = self._judge(piece, index, now)
            if trouble is None:
                self._settle_discarded(piece, index, keep)
            else:
                again.setdefault(order, []).append(record)
                parked.append((order, trouble))
        self._settle(piece, total, keep)
        piece.failures = {}  # whose tracebacks know the slice, see `running.run`
        for order, records in again.items():
            piece.lane.give_back(order, records)
        for order, trouble in parked:
            self.troubles.park(piece.generation, piece.lane, order, trouble)
        if parked and piece.generation.held > self._crowded:
            self._make_room(piece.generation)  # else a partition that is paused would stay so

    def _judge(self, piece: Slice, index: int, now: float) -> Trouble | None:
        """The verdict on a failed attempt: trouble to come back to, or None if it was given up."""
        record, attempt = piece.records[index], piece.attempt(index)
        if index in piece.refused:
            piece.generation.refused.pop(record.offset, None)
            attempt -= 1  # it was none
        failure = self.troubles.failure(piece, index, attempt)
        return self.troubles.judge(piece.generation, piece.orders[index], failure, now)

    def _settle_discarded(self, piece: Slice, index: int, keep: Keep) -> None:
        self._forget(piece, [piece.records[index]])
        self._settle_one(piece.generation, piece.orders[index], piece.records[index], keep)

    def _settle_one(self, generation: Generation, order: Order, record: Record, keep: Keep) -> None:
        """A record without effects is over: complete at once, unless one of its order is not."""
        if order in generation.unacknowledged:
            keep(generation, order, record, None)
        else:
            self.complete(generation, [record.offset])

    # -- dead letters ------------------------------------------------------------------------

    def buried(self, burial: Burial, offset: int, keep: Keep) -> None:
        """This dead letter is acknowledged, at that offset of its topic: its record is over, and
        its key goes on.
        """
        generation, lane, order, _ = burial
        if not self.is_current(generation):
            return
        trouble = generation.troubles.pop(order)
        record = lane.drop_head(order)
        generation.held -= 1
        generation.held_bytes -= record.size
        assert trouble.error is not None
        if generation.holds is not None:
            generation.holds.buried(order, record, offset)
        self._events.dead_lettered(generation, record, trouble.error, trouble.attempts)
        self._settle_one(generation, order, record, keep)
        self._unpark(generation, lane, order)
        generation.release(lane, (order,))

    def unburied(self, burial: Burial, reason: str, now: float) -> None:
        """This dead letter was not delivered; its key waits until it is."""
        generation, lane, order, _ = burial
        if self.is_current(generation):
            self.troubles.unburied(burial, lane.head(order), reason, now)

    # -- time passes -------------------------------------------------------------------------

    def wake(self, now: float) -> None:
        """Parked orders whose pause is over may run again."""
        for generation, lane, order in self.troubles.wake(now):
            self._unpark(generation, lane, order)

    def next_timer(self) -> float | None:
        """When `wake` has something to do next."""
        return self.troubles.next_timer()

    def _unpark(self, generation: Generation, lane: VirtualPartition, order: Order) -> None:
        if (
            self.is_current(generation)
            and lane.is_parked(order)
            and not self._is_fenced(generation, order)
        ):
            lane.wake(order)
            self._feed(generation, lane, order)
            self._make_ready(generation, lane)

    def _is_fenced(self, generation: Generation, order: Order) -> bool:
        """Whether it still runs under an older generation."""
        return any(
            each is generation and other == order
            for fences in self._fences.values()
            for each, _, other in fences
        )

    def _release_fences(self, piece: Slice, now: float) -> None:
        for generation, lane, order in self._fences.pop(piece, ()):
            trouble = generation.troubles.get(order)
            if trouble is None or trouble.due <= now:  # else its timer wakes it
                self._unpark(generation, lane, order)


def _flow_on(piece: Slice, downstream: Downstream) -> None:
    """What the handler let through goes on; where that fails the attempt has failed, and what the
    handler did behind it for the same order is not kept, be it a failure.
    """
    failed: set[Order] = set()
    for index in range(piece.progress):
        if failed and piece.orders[index] in failed:
            piece.failures.pop(index, None)
            piece.skipped.add(index)
        if not _succeeded(piece, index):
            continue
        effects = piece.effects.get(index)
        if effects is not None and effects.flows is not None:
            try:
                downstream(piece, index, effects)
            except MemoryError:
                raise
            except Exception as error:
                piece.failures[index] = error
                failed.add(piece.orders[index])


def _did_nothing_but_change(piece: Slice, stop: int) -> bool:
    """Whether `piece.changes` are all that is to be merged: a key's last value, once a slice."""
    return (
        piece.plain == len(piece.effects) > 0
        and not piece.merged
        and stop == len(piece.records)
        and not (piece.failures or piece.skipped)
    )


def _merge(generation: Generation, changes: Mapping[str, Changes]) -> None:
    for store, changed in changes.items():
        generation.stores[store].merge(changed)


def _partitioner_error(error: Exception) -> PartitionerError:
    wrapped = PartitionerError(f"the partitioner raised {text_of(error)}")
    wrapped.__cause__ = error
    return wrapped


def _succeeded(piece: Slice, index: int) -> bool:
    return not (index >= piece.progress or index in piece.failures or index in piece.skipped)


def _interrupted(piece: Slice, index: int) -> bool:
    """Whether the attempt ended early because nothing may run here any more."""
    return piece.generation.halted and isinstance(
        piece.failures.get(index), AttemptInterruptedError
    )


def _slice(
    generation: Generation,
    lane: VirtualPartition,
    records: Sequence[Record],
    orders: Sequence[Order],
) -> Slice:
    attempts: dict[int, int] = {}
    refused: dict[int, Exception] = {}
    if generation.troubles:
        attempts = _attempts(generation, records, orders)
    if generation.refused:
        refused = {
            index: generation.refused[record.offset]
            for index, record in enumerate(records)
            if record.offset in generation.refused
        }
    if generation.holds is not None:
        refused |= _held_back(generation.holds, records, orders)
    return Slice(generation, lane, records, orders, attempts, refused)


def _held_back(
    holds: Holds, records: Sequence[Record], orders: Sequence[Order]
) -> dict[int, Exception]:
    return {
        index: SequencedRecordError("an earlier record of its key is on the dead-letter topic")
        for index, record in enumerate(records)
        if holds.holds(orders[index], record)
    }


def _attempts(
    generation: Generation, records: Sequence[Record], orders: Sequence[Order]
) -> dict[int, int]:
    """The number of the attempt by index, where it is not the first one."""
    return {
        index: trouble.attempts + 1
        for index, order in enumerate(orders)
        if (trouble := generation.troubles.get(order)) and trouble.offset == records[index].offset
    }
