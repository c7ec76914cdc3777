"""What happened so far, in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamjobs.broker.ports import Commit
from streamjobs.engine.events import Events
from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Frozen
from streamjobs.engine.slices import Slice
from streamjobs.record import Record

__all__ = ("Counts",)


class Counts(Events):
    """Counts what the engine tells.

    Attributes:
        done: records that succeeded.
        failed_attempts: attempts that did not.
        discarded_records: records given up and dropped.
        dead_lettered_records: records given up whose dead letter is acknowledged.
        blocked_keys: keys held by a record that failed for good.
        left_out_records: delivered twice, or complete before we got their partition.
        stale_slices: ended after their partition had gone.
        commits, failed_commits: answers of the broker.
    """

    def __init__(self) -> None:
        self.done = 0
        self.failed_attempts = 0
        self.discarded_records = 0
        self.dead_lettered_records = 0
        self.blocked_keys = 0
        self.left_out_records = 0
        self.stale_slices = 0
        self.commits = 0
        self.failed_commits = 0

    def after_settle(self, generation: Generation, records: Sequence[Record]) -> None:
        self.done += len(records)

    def failed(
        self, generation: Generation, record: Record, error: Exception, attempt: int, pause: float
    ) -> None:
        self.failed_attempts += 1

    def discarded(self, generation: Generation, record: Record, error: Exception) -> None:
        self.discarded_records += 1

    def dead_lettered(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        self.dead_lettered_records += 1

    def blocked(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        self.blocked_keys += 1

    def left_out(self, generation: Generation, records: Sequence[Record]) -> None:
        self.left_out_records += len(records)

    def stale(self, piece: Slice) -> None:
        self.stale_slices += 1

    def after_commit(self, frozen: Mapping[Generation, Frozen]) -> None:
        self.commits += 1

    def commit_failed(self, commits: Sequence[Commit], error: str) -> None:
        self.failed_commits += 1

    def as_dict(self) -> dict[str, int]:
        """All numbers by name."""
        return dict(vars(self))
