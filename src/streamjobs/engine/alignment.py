"""Records of several topics in the order of their timestamps, for joins."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.generation import Gate, Generation
from streamjobs.engine.scheduler import Scheduler
from streamjobs.record import Record

__all__ = ("Alignment",)


_STILL_RUNS: Final[frozenset[Gate]] = frozenset({"quarantine"})
"""Gates that open only after records have run: who waits for them to align any waits for ever."""


class Alignment:
    """Keeps the records of topics that belong together until the earliest of them is known, as
    Quix's own consumer does: partition by partition, and a topic that is read to its end is not
    waited for. Those of one topic run before the next ones of another. Of topics with the same
    moment next, the one whose name comes first goes first.

    Args:
        scheduler: where records go.
        ended: partitions that are read to the end of their log.
    """

    def __init__(self, scheduler: Scheduler, ended: Collection[TopicPartition]) -> None:
        self._scheduler = scheduler
        self._ended = ended

    def add(self, generation: Generation, records: Sequence[Record]) -> None:
        """Records that were read, in the order of the log."""
        generation.unaligned.extend(records)

    def turn(self, now: float) -> bool:
        """Hand over those whose turn it is; says whether there were any."""
        taken = False
        for company in self._companies():
            earliest = self._earliest(company)
            if earliest is not None:
                records = list(_take(earliest, company))
                self._scheduler.accept(earliest, records, now)
                taken = True
        return taken

    def _companies(self) -> Iterator[list[Generation]]:
        """Generations that belong together, where all of them are here, and none is busy."""
        for generation in list(self._scheduler.generations.values()):
            together = generation.route.together
            if not together or generation.partition.topic != min(together):
                continue
            company = self._scheduler.company(generation)
            if len(company) == len(together) and not any(map(_is_busy, company)):
                yield company

    def _earliest(self, company: Sequence[Generation]) -> Generation | None:
        """Whose first record is next; None while that is not known."""
        waiting = [each for each in company if each.unaligned]
        if not waiting or not all(
            each.unaligned or each.partition in self._ended for each in company
        ):
            return None
        return min(waiting, key=_place)


def _is_busy(generation: Generation) -> bool:
    """Whether something of it is under way that would come behind the next record of another."""
    if generation.gates - _STILL_RUNS or generation.backlog:
        return True
    if generation.route.execution != "inline":
        return False  # what runs beside each other has no order that could be kept here
    return any(lane.running or lane.startable for lane in generation.virtual_partitions)


def _take(earliest: Generation, company: Sequence[Generation]) -> Iterator[Record]:
    """Its first record, and those behind it that come before all of the others."""
    others = (_place(each) for each in company if each.unaligned and each is not earliest)
    limit = min(others, default=None)
    waiting = earliest.unaligned
    yield waiting.popleft()
    while waiting and (limit is None or _place(earliest) < limit):
        yield waiting.popleft()


def _place(generation: Generation) -> tuple[int, str]:
    """What its first record is ordered by: no two topics have the same, so it never depends on how
    much of each was read.
    """
    return generation.unaligned[0].timestamp, generation.partition.topic
