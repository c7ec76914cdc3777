"""Starts what may start."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from streamjobs.engine.due import Due
from streamjobs.engine.events import Events
from streamjobs.engine.fuses import Fuses
from streamjobs.engine.generation import Generation
from streamjobs.engine.ports import Execution, Workers
from streamjobs.engine.quarantine import Quarantine
from streamjobs.engine.scheduler import Scheduler
from streamjobs.engine.slices import Slice

__all__ = ("Starter",)


class Starter:
    """Hands slices to workers: as many as are free, or one suspect alone.

    Args:
        scheduler: what may run.
        workers: what runs it.
        fuses: which topics are stopped.
        quarantine: whether somebody has to run alone.
        due: the next commit, which those wait for.
        events: told of what starts.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        workers: Workers,
        fuses: Fuses,
        quarantine: Quarantine,
        due: Due,
        events: Events,
    ) -> None:
        self._scheduler = scheduler
        self._workers = workers
        self._fuses = fuses
        self._quarantine = quarantine
        self._due = due
        self._events = events

    def turn(self, now: float) -> bool:
        """Start what may start; says whether anything did."""
        if self._fuses:
            self._heed_fuses()
        self._take_backlogs(now)
        if self._quarantine.is_on(self._generations, now):
            return self._start_alone(now)
        started = False
        for kind in self._scheduler.kinds:
            execution = self._workers.execution(kind)
            slices = self._scheduler.start(kind, execution.free)
            if slices:
                started = True
                self._hand_over(execution, slices)
        return started

    def _heed_fuses(self) -> None:
        """Stop partitions whose breaker has opened, and let go on those whose breaker closed."""
        self._fuses.close_due()
        for generation in self._generations:
            fuse = self._fuses.of(generation.partition.topic)
            if fuse is not None and "breaker" not in generation.gates:
                self._scheduler.close_gate(generation, "breaker")
                self._events.breaker_opened(generation, fuse.died, fuse.ended)
            elif fuse is None and "breaker" in generation.gates:
                self._events.breaker_closed(generation)
                self._scheduler.open_gate(generation, "breaker")

    def _take_backlogs(self, now: float) -> None:
        """Register what has room now; says once that a map is full, and whose record it is."""
        for generation in self._generations:
            frontier = generation.ledger.frontier
            if generation.backlog and generation.full_at != frontier:
                is_news, generation.full_at = generation.full_at is None, frontier
                self._scheduler.accept(generation, (), now)
                if generation.backlog and is_news:
                    self._events.full(generation, self._scheduler.holder(generation))
            if not generation.backlog:
                generation.full_at = None

    def _start_alone(self, now: float) -> bool:
        piece = self._quarantine.turn(self._generations)
        if piece is None:
            self._due.soon(now)  # which it may wait for
            return False
        self._hand_over(self._workers.execution(piece.generation.route.execution), [piece])
        return True

    def _hand_over(self, execution: Execution, slices: Sequence[Slice]) -> None:
        for piece in slices:
            self._events.started(piece)
        execution.start(slices)

    @property
    def _generations(self) -> Collection[Generation]:
        return self._scheduler.generations.values()
