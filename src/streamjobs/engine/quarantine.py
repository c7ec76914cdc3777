"""Records that may have killed their process run alone, so that only a guilty one is convicted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.generation import Generation
from streamjobs.engine.orders import Order
from streamjobs.engine.scheduler import Scheduler
from streamjobs.engine.slices import Slice
from streamjobs.engine.virtual_partition import VirtualPartition

__all__ = ("SUSPECTS", "Quarantine")

SUSPECTS: Final = 256
"""How many unfinished records of a partition run alone after its owners died: more than those were
hardly ever running when they did."""

PATIENCE: Final = 30.0
"""Seconds for which nothing new starts, so that what runs may end and suspects can run alone."""


class _Trial(NamedTuple):
    """The record whose turn it is."""

    generation: Generation
    lane: VirtualPartition
    order: Order


class Quarantine:
    """While a partition has suspects, this process runs one of them at a time and nothing else,
    each after a commit that names it: a process that dies then has told who did it.

    Args:
        scheduler: what starts them.
        end_of: where the log of a partition ends now, None if nobody answers: what is written later
            cannot have killed anybody before.
    """

    def __init__(
        self, scheduler: Scheduler, end_of: Callable[[TopicPartition], int | None]
    ) -> None:
        self._scheduler = scheduler
        self._end_of = end_of
        self._trial: _Trial | None = None
        self._running: Slice | None = None
        self._outlasting: dict[Slice, None] = {}
        """What ran when suspects began to wait for it."""
        self._waits_since = float("-inf")

    def admit(self, generation: Generation) -> None:
        """The owners of this partition died again and again at the same frontier."""
        generation.suspects = SUSPECTS
        self._scheduler.close_gate(generation, "quarantine")

    def is_on(self, generations: Iterable[Generation], now: float) -> bool:
        """Whether a suspect runs alone, or has to. Not while something else runs that does not come
        to its end: then the suspects wait, and the rest goes on.
        """
        if self._running is not None:
            return True
        if not any(generation.suspects and _heads(generation) for generation in generations):
            return False
        if not self._scheduler.running:
            self._outlasting.clear()
            return True
        if not self._outlasting:
            self._outlasting = dict.fromkeys(self._scheduler.running)
            self._waits_since = now
        if now - self._waits_since <= PATIENCE:
            return True
        if not any(piece in self._scheduler.running for piece in self._outlasting):
            self._outlasting.clear()
        return False

    def turn(self, generations: Collection[Generation]) -> Slice | None:
        """The next suspect to run, once it may: when nothing else runs and the broker has its
        name. Until then its generation is dirty: a commit is what it waits for.
        """
        if self._scheduler.running:
            return None
        self._end_trial()
        if self._trial is None or self._trial.generation not in generations:
            self._trial = _next_trial(generations)
        if self._trial is None:
            return None
        generation = self._trial.generation
        if generation.committed != generation.freeze():
            generation.dirty = True
            return None
        if not generation.horizon:
            generation.horizon = self._end_of(generation.partition) or 0
        self._running = self._scheduler.start_one(*self._trial)
        self._trial = None
        return self._running

    def _end_trial(self) -> None:
        if self._running is None:
            return
        generation = self._running.generation
        self._running = None
        generation.trial = None
        generation.dirty = True
        generation.suspects -= 1
        if generation.horizon and generation.ledger.frontier >= generation.horizon:
            generation.suspects = 0
        if not generation.suspects:
            self._scheduler.open_gate(generation, "quarantine")


def _next_trial(generations: Iterable[Generation]) -> _Trial | None:
    """The lowest suspect of the first partition that has any; it is named from now on."""
    for generation in generations:
        heads = _heads(generation) if generation.suspects else []
        if heads:
            offset, lane, order = min(heads, key=lambda head: head[0])
            generation.trial = offset
            return _Trial(generation, lane, order)
    return None


def _heads(generation: Generation) -> list[tuple[int, VirtualPartition, Order]]:
    """What could run of it now."""
    if generation.halted or generation.gates != {"quarantine"}:
        return []
    return [
        (record.offset, lane, order)
        for lane in generation.virtual_partitions
        for order, record in lane.heads()
    ]
