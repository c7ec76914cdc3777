"""Which branches of the engine a run went through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from streamjobs.broker.ports import Commit, TopicPartition
from streamjobs.engine.events import Events
from streamjobs.engine.generation import Generation
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
)


class Branches(Events):
    """Counts the branches that matter."""

    def __init__(self, counter: Counter[str]) -> None:
        self._counter = counter

    def assigned(self, generation: Generation) -> None:
        if any(True for _ in generation.ledger.runs()):
            self._counter["assigned with a map"] += 1
        if any(lane.parked for lane in generation.virtual_partitions):
            self._counter["fenced"] += 1

    def revoking(self, generation: Generation) -> None:
        if any(lane.running for lane in generation.virtual_partitions):
            self._counter["revoked with records running"] += 1

    def revoked(self, generation: Generation, lost: bool) -> None:
        if lost:
            self._counter["lost"] += 1

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

    def unreadable(self, partition: TopicPartition, offset: int, reason: str) -> None:
        self._counter["unreadable"] += 1

    def full(self, generation: Generation, order: object) -> None:
        self._counter["map full"] += 1

    def through(self, piece: Slice) -> None:
        """A worker is through with this slice. No event of the engine's: it looks at the records
        that did not run only to put them back.
        """
        if piece.skipped:
            self._counter["skipped behind a failure"] += 1
