"""Which branches of the engine a run went through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from streamjobs.broker.ports import Commit, TopicPartition
from streamjobs.engine import completion_map
from streamjobs.engine.events import Events
from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Frozen
from streamjobs.engine.slices import Slice
from streamjobs.record import Record

__all__ = ("BRANCHES", "Branches")

BRANCHES = (
    "assigned with a map",
    "revoked with records running",
    "lost",
    "stale results",
    "fenced",
    "retried",
    "skipped behind a failure",
    "left out",
    "commit failed",
    "undelivered",
    "map full",
    "discarded",
    "dead-lettered",
    "deferred",
    "read again",
    "gone when read again",
    "restored",
    "suspected",
    "dead-lettered without an attempt",
    "unburied",
    "revoked with a letter on its way",
    "ended between a letter and its commit",
    "blocked",
    "stopped",
    "aborted",
    "unknown commit",
    "transaction fenced",
    "state restored",
    "state restored warm",
    "crashed inside of a checkpoint",
    "revoked inside of a checkpoint",
    "aborted inside of a checkpoint",
)


class Branches(Events):
    """Counts the branches that matter."""

    def __init__(self, counter: Counter[str]) -> None:
        self._counter = counter
        self._uncommitted: dict[Generation, set[int]] = {}

    def after_assign(self, generation: Generation) -> None:
        if any(True for _ in generation.ledger.runs()):
            self._counter["assigned with a map"] += 1
        if any(lane.parked for lane in generation.virtual_partitions):
            self._counter["fenced"] += 1

    def before_revoke(self, generation: Generation) -> None:
        if any(lane.running for lane in generation.virtual_partitions):
            self._counter["revoked with records running"] += 1
        self._look_for_letters(generation)

    def after_revoke(self, generation: Generation, lost: bool) -> None:
        if lost:
            self._counter["lost"] += 1
            self._look_for_letters(generation)
        self.ended(generation)

    def _look_for_letters(self, generation: Generation) -> None:
        if any(trouble.letter is not None for trouble in generation.troubles.values()):
            self._counter["revoked with a letter on its way"] += 1

    def ended(self, generation: Generation) -> None:
        """A generation ended: no event of the engine's where its process crashed."""
        if self._uncommitted.pop(generation, None):
            self._counter["ended between a letter and its commit"] += 1

    def after_commit(self, frozen: Mapping[Generation, Frozen]) -> None:
        for generation in self._uncommitted.keys() & frozen.keys():
            frontier, metadata = frozen[generation].frontier, frozen[generation].metadata
            runs = completion_map.decode(frontier, metadata).runs
            self._uncommitted[generation] -= {
                offset
                for offset in self._uncommitted[generation]
                if offset < frontier or any(at <= offset < at + length for at, length in runs)
            }

    def started(self, piece: Slice) -> None:
        if piece.attempts:
            self._counter["retried"] += 1

    def failed(
        self, generation: Generation, record: Record, error: Exception, attempt: int, pause: float
    ) -> None:
        self._counter["failed"] += 1

    def stale(self, piece: Slice) -> None:
        self._counter["stale results"] += 1

    def left_out(self, generation: Generation, records: Sequence[Record]) -> None:
        self._counter["left out"] += 1

    def commit_failed(self, commits: Sequence[Commit], error: str) -> None:
        self._counter["commit failed"] += 1

    def undelivered(self, generation: Generation, record: Record, error: str) -> None:
        self._counter["undelivered"] += 1

    def discarded(self, generation: Generation, record: Record, error: Exception) -> None:
        self._counter["discarded"] += 1

    def dead_lettered(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        self._counter["dead-lettered"] += 1
        if not attempt:
            self._counter["dead-lettered without an attempt"] += 1
        self._uncommitted.setdefault(generation, set()).add(record.offset)

    def unburied(self, generation: Generation, record: Record, reason: str, pause: float) -> None:
        self._counter["unburied"] += 1

    def blocked(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        self._counter["blocked"] += 1

    def stopping_for(self, generation: Generation, record: Record, error: Exception) -> None:
        self._counter["stopped"] += 1

    def deferred(self, generation: Generation, order: object) -> None:
        self._counter["deferred"] += 1

    def read_again(self, generation: Generation, record: Record, gone: bool) -> None:
        self._counter["gone when read again" if gone else "read again"] += 1

    def restored(self, generation: Generation, record: Record, attempts: int, pause: float) -> None:
        self._counter["restored"] += 1

    def suspected(self, generation: Generation, deaths: int) -> None:
        self._counter["suspected"] += 1

    def unreadable(self, partition: TopicPartition, offset: int, reason: str) -> None:
        self._counter["unreadable"] += 1

    def full(self, generation: Generation, order: object) -> None:
        self._counter["map full"] += 1

    def aborted(self, reason: str) -> None:
        self._counter["aborted"] += 1

    def took(self, branch: str) -> None:
        """One that no event of the engine's tells of."""
        self._counter[branch] += 1

    def through(self, piece: Slice) -> None:
        """A worker is through with this slice. No event of the engine's: it looks at the records
        that did not run only to put them back.
        """
        if piece.skipped:
            self._counter["skipped behind a failure"] += 1
