"""Records that failed and are not over: who waits for which, until when, and what is buried."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

from streamjobs.broker.ports import Message
from streamjobs.engine.events import Events
from streamjobs.engine.failure import Block, Bury, Failure, Park, Stop
from streamjobs.engine.notes import Attempts
from streamjobs.engine.orders import Order
from streamjobs.engine.slices import Slice
from streamjobs.engine.virtual_partition import VirtualPartition
from streamjobs.record import Record

if TYPE_CHECKING:
    from streamjobs.engine.generation import Generation

__all__ = ("Burial", "Trouble", "Troubles")

NEVER: Final = float("inf")

FIRST_REFUSAL: Final = 0.5
LONGEST_REFUSAL: Final = 60.0
"""Seconds until a dead letter that was not delivered is sent again, doubled each time."""


@dataclass(slots=True)
class Trouble:
    """A record that failed and is not over; its order is parked meanwhile.

    Attributes:
        offset: the record's.
        attempts: how many there were.
        first: seconds since the epoch of the first failure.
        due: when its order may go on, by the owner's clock.
        until: the same in seconds since the epoch, for the next owner; in the past where that one
            need not wait.
        error: the last one; None if that was in an earlier life.
        letter: its dead letter, once it is given up.
        refused: how often that was not delivered.
    """

    offset: int
    attempts: int
    first: float
    due: float
    until: float
    error: Exception | None = None
    letter: Message | None = None
    refused: int = 0


class Burial(NamedTuple):
    """A dead letter to be sent, and whose it is."""

    generation: Generation
    lane: VirtualPartition
    order: Order
    letter: Message


class Troubles:
    """Judges failures and remembers when parked orders may go on.

    Args:
        events: told about each verdict.
        wall: seconds since the epoch.

    Attributes:
        fatal: the error of a record whose policy says to stop the app.
    """

    def __init__(self, events: Events, wall: Callable[[], float]) -> None:
        self.fatal: Exception | None = None
        self._events = events
        self._wall = wall
        self._burials: list[Burial] = []
        self._timers: list[tuple[float, int, Generation, VirtualPartition, Order]] = []
        self._sequence = count()

    # -- verdicts ----------------------------------------------------------------------------

    def judge(
        self, generation: Generation, order: Order, failure: Failure, now: float
    ) -> Trouble | None:
        """What is to come of a failed record: trouble to park its order with, or None if it is
        given up.
        """
        record, error, attempt = failure.record, failure.error, failure.attempt
        before = generation.troubles.get(order)
        if before is not None and before.offset == record.offset:
            failure = replace(failure, first=before.first)
        verdict = generation.route.failures.decide(failure)
        trouble = Trouble(record.offset, attempt, failure.first, NEVER, failure.first, error)
        match verdict:
            case Park(seconds):
                trouble.due, trouble.until = now + seconds, failure.now + seconds
                self._events.failed(generation, record, error, attempt, seconds)
            case Bury(letter):
                trouble.letter = letter
                self._events.given_up(generation, record, error)
            case Block():
                self._events.blocked(generation, record, error, attempt)
            case Stop():
                self.fatal = self.fatal or error
                self._events.stopping_for(generation, record, error)
            case _:
                generation.troubles.pop(order, None)
                self._events.discarded(generation, record, error)
                return None
        return trouble

    def failure(self, piece: Slice, index: int, attempt: int) -> Failure:
        """A failure of this moment."""
        now = self._wall()
        return Failure(piece.records[index], piece.failures[index], attempt, now, now, piece, index)

    def restore(
        self,
        generation: Generation,
        lane: VirtualPartition,
        order: Order,
        record: Record,
        past: Attempts,
        now: float,
    ) -> None:
        """An earlier owner of the partition had trouble with this record: its attempts count on,
        and what is left of its pause is waited for.
        """
        left = max(0.0, past.due - self._wall())
        trouble = Trouble(past.offset, past.number, past.first, now + left, past.due)
        self._events.restored(generation, record, past.number, left)
        if left:
            self.park(generation, lane, order, trouble)
        else:
            generation.troubles[order] = trouble

    # -- waiting -----------------------------------------------------------------------------

    def park(
        self, generation: Generation, lane: VirtualPartition, order: Order, trouble: Trouble
    ) -> None:
        """Its order waits: for a moment, for the burial of its record, or for ever."""
        generation.troubles[order] = trouble
        generation.dirty = True  # its attempts are committed, too
        if not lane.is_parked(order):
            lane.park(order)
        if trouble.letter is not None:
            self._burials.append(Burial(generation, lane, order, trouble.letter))
        elif trouble.due < NEVER:
            self._wait(trouble.due, generation, lane, order)

    def wake(self, now: float) -> Iterator[tuple[Generation, VirtualPartition, Order]]:
        """Parked orders that may go on. A burial whose time has come is tried again instead."""
        while self._timers and self._timers[0][0] <= now:
            _, _, generation, lane, order = heapq.heappop(self._timers)
            trouble = generation.troubles.get(order)
            if trouble is not None and trouble.letter is not None:
                self._burials.append(Burial(generation, lane, order, trouble.letter))
            else:
                yield generation, lane, order

    def forget(self, generation: Generation) -> None:
        """It ended: a timer would keep all that it holds until it is due."""
        self._timers = [timer for timer in self._timers if timer[2] is not generation]
        heapq.heapify(self._timers)

    def next_timer(self) -> float | None:
        """When `wake` has something to do next."""
        return self._timers[0][0] if self._timers else None

    # -- burials -----------------------------------------------------------------------------

    def take_burials(self) -> list[Burial]:
        """Dead letters to send now."""
        burials, self._burials = self._burials, []
        return burials

    def unburied(self, burial: Burial, record: Record, reason: str, now: float) -> None:
        """A dead letter was not delivered: it is sent again later, and its key waits."""
        trouble = burial.generation.troubles[burial.order]
        pause = min(FIRST_REFUSAL * 2**trouble.refused, LONGEST_REFUSAL)
        trouble.refused += 1
        self._events.unburied(burial.generation, record, reason, pause)
        self._wait(now + pause, burial.generation, burial.lane, burial.order)

    def _wait(
        self, due: float, generation: Generation, lane: VirtualPartition, order: Order
    ) -> None:
        heapq.heappush(self._timers, (due, next(self._sequence), generation, lane, order))
