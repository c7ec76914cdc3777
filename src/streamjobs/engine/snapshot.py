"""The progress of a partition at the cut of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streamjobs.engine.ledger import Frozen, Progress
from streamjobs.engine.notes import write_changelog_ends

__all__ = ("Snapshot",)


class Snapshot(NamedTuple):
    """What is complete, and what is noted beside it, at one moment.

    It belongs to the changes of state of the same moment, and where those end in the changelogs is
    known only when they are written: handlers have got further by then.
    """

    progress: Progress
    notes: Mapping[str, str]

    def frozen(self, changelog_ends: Sequence[int]) -> Frozen:
        """What to commit, with the ends of the changelogs."""
        return self.progress.encoded({**self.notes, **write_changelog_ends(changelog_ends)})
