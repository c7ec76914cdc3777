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
        discarded_records: records given up.
        left_out_records: delivered twice, or complete before we got their partition.
        stale_slices: ended after their partition had gone.
        commits, failed_commits: answers of the broker.
    """

    def __init__(self) -> None:
        self.done = 0
        self.failed_attempts = 0
        self.discarded_records = 0
        self.left_out_records = 0
        self.stale_slices = 0
        self.commits = 0
        self.failed_commits = 0

    def settled(self, generation: Generation, records: Sequence[Record]) -> None:
        self.done += len(records)

    def failed(
        self, generation: Generation, record: Record, error: Exception, attempt: int, pause: float
    ) -> None:
        self.failed_attempts += 1

    def discarded(self, generation: Generation, record: Record, error: Exception) -> None:
        self.discarded_records += 1

    def left_out(self, generation: Generation, records: Sequence[Record]) -> None:
        self.left_out_records += len(records)

    def stale(self, piece: Slice) -> None:
        self.stale_slices += 1

    def committed(self, frozen: Mapping[Generation, Frozen]) -> None:
        self.commits += 1

    def commit_failed(self, commits: Sequence[Commit], error: str) -> None:
        self.failed_commits += 1

    def as_dict(self) -> dict[str, int]:
        """All numbers by name."""
        return dict(vars(self))
