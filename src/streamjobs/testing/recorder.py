"""From the engine's hooks to a history."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count

from streamjobs.engine import completion_map
from streamjobs.engine.effects import Effects
from streamjobs.engine.events import Observer
from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Frozen
from streamjobs.engine.orders import Order
from streamjobs.engine.route import Route
from streamjobs.engine.slices import Slice
from streamjobs.record import Record
from streamjobs.stacks import text_of
from streamjobs.testing.history import (
    Accepted,
    Assigned,
    Blocked,
    Committed,
    Event,
    Finished,
    Restored,
    Revoked,
    Revoking,
    Settled,
    Started,
    Suspected,
    Unburied,
)

__all__ = ("Recorder",)


class Recorder(Observer):
    """Listens to one process, and writes down what it does.

    Args:
        member: the process's name in the history; each life of a process needs its own.
        clock: seconds, the same clock for all processes of one history.
        write: takes each event, from several threads.
    """

    def __init__(
        self, member: str, clock: Callable[[], float], write: Callable[[Event], None]
    ) -> None:
        self._member = member
        self._clock = clock
        self._write = write
        self._numbers = count(1)
        self._names: dict[Generation, str] = {}

    def observe(self, route: Route) -> Route:
        """The same route, with each attempt written down. Costs a call an attempt: for proof,
        not for production.
        """
        if route.execution == "asyncio":
            return dataclasses.replace(route, invoke=_ObservedAsync(self, route).invoke)
        return dataclasses.replace(route, invoke=_Observed(self, route).invoke)

    def started_attempt(self, piece: Slice, index: int) -> None:
        """An attempt begins."""
        record, generation = piece.records[index], piece.generation
        self._write(
            Started(
                self._clock(),
                self._member,
                self._names[generation],
                generation.partition,
                record.offset,
                order_text(piece.orders[index]),
                piece.lane.index,
                piece.attempt(index),
            )
        )

    def finished_attempt(
        self, piece: Slice, index: int, outcome: Effects | BaseException | None
    ) -> None:
        """An attempt ends, with its effects or with what it raised."""
        generation = piece.generation
        self._write(
            Finished(
                self._clock(),
                self._member,
                self._names[generation],
                generation.partition,
                piece.records[index].offset,
                text_of(outcome) if isinstance(outcome, BaseException) else None,
                len(outcome.emits) if isinstance(outcome, Effects) else 0,
            )
        )

    # -- the engine's hooks ------------------------------------------------------------------

    def after_assign(self, generation: Generation) -> None:
        name = f"{self._member}/{next(self._numbers)}"
        self._names[generation] = name
        ledger = generation.ledger
        self._write(
            Assigned(
                self._clock(),
                self._member,
                name,
                generation.partition,
                ledger.frontier,
                tuple(ledger.runs()),
            )
        )

    def before_revoke(self, generation: Generation) -> None:
        self._write(Revoking(self._clock(), self._member, self._names[generation]))

    def after_revoke(self, generation: Generation, lost: bool) -> None:
        name = self._names[generation]
        self._write(Revoked(self._clock(), self._member, name, generation.partition, lost))

    def accepted(self, generation: Generation, records: Sequence[Record]) -> None:
        name, described = self._names[generation], []
        lanes = generation.virtual_partitions
        for record in records:
            try:
                order = generation.order(record)
                lane = next((each for each in lanes if each.holds(order)), None)
            except Exception:
                continue  # its partitioner raised: it is given up, and never starts
            if lane is not None:
                described.append((record.offset, order_text(order), lane.index))
        at = self._clock()
        self._write(Accepted(at, self._member, name, generation.partition, tuple(described)))

    def restored(self, generation: Generation, record: Record, attempts: int, pause: float) -> None:
        name = self._names[generation]
        self._write(
            Restored(self._clock(), self._member, name, generation.partition, record.offset)
        )

    def breaker_opened(self, generation: Generation, died: int, ended: int) -> None:
        name = self._names[generation]
        self._write(Suspected(self._clock(), self._member, name, generation.partition))

    def suspected(self, generation: Generation, deaths: int) -> None:
        name = self._names[generation]
        self._write(Suspected(self._clock(), self._member, name, generation.partition))

    def after_settle(self, generation: Generation, records: Sequence[Record]) -> None:
        for record in records:
            self._settle(generation, record, "done")

    def discarded(self, generation: Generation, record: Record, error: Exception) -> None:
        self._settle(generation, record, "discarded")

    def dead_lettered(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        self._settle(generation, record, "dead-lettered")

    def unburied(self, generation: Generation, record: Record, reason: str, pause: float) -> None:
        name = self._names[generation]
        self._write(
            Unburied(self._clock(), self._member, name, generation.partition, record.offset)
        )

    def blocked(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        name = self._names[generation]
        self._write(Blocked(self._clock(), self._member, name, generation.partition, record.offset))

    def _settle(self, generation: Generation, record: Record, how: str) -> None:
        name = self._names[generation]
        self._write(
            Settled(self._clock(), self._member, name, generation.partition, record.offset, how)
        )

    def after_commit(self, frozen: Mapping[Generation, Frozen]) -> None:
        for generation, (frontier, metadata) in frozen.items():
            self._write(
                Committed(
                    self._clock(),
                    self._member,
                    self._names[generation],
                    generation.partition,
                    frontier,
                    tuple(completion_map.decode(frontier, metadata).runs),
                )
            )


class _Observed:
    """Attempts of a route, each written down."""

    def __init__(self, recorder: Recorder, route: Route) -> None:
        self._recorder = recorder
        self._invoke = route.invoke

    def invoke(self, piece: Slice, index: int) -> Effects | Awaitable[Effects | None] | None:
        self._recorder.started_attempt(piece, index)
        try:
            outcome = self._invoke(piece, index)
        except BaseException as error:
            self._recorder.finished_attempt(piece, index, error)
            raise
        self._recorder.finished_attempt(piece, index, outcome)  # type: ignore[arg-type]
        return outcome


class _ObservedAsync(_Observed):
    """The same, awaited."""

    async def invoke(self, piece: Slice, index: int) -> Effects | None:
        self._recorder.started_attempt(piece, index)
        try:
            outcome: Effects | None = await self._invoke(piece, index)  # type: ignore[misc]
        except BaseException as error:
            self._recorder.finished_attempt(piece, index, error)
            raise
        self._recorder.finished_attempt(piece, index, outcome)
        return outcome


def order_text(order: Order) -> str | None:
    """An order as text; None where a record carries none."""
    if isinstance(order, Record):
        return None
    return order.decode(errors="backslashreplace") if isinstance(order, bytes) else str(order)
