"""What goes wrong between a process and the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ("Fate", "Faults", "Process")


class Fate(NamedTuple):
    """What becomes of one request: whether the cluster does it, and what the client hears."""

    applied: bool
    error: str | None


FINE = Fate(True, None)
REFUSED = Fate(False, "_FAIL: refused by an injected fault")
UNANSWERED = Fate(True, "_TIMED_OUT: no answer, by an injected fault")
AWAY = Fate(False, "_TIMED_OUT: the broker is away")


@dataclass(slots=True)
class Faults:
    """What goes wrong next; the defaults are fair weather.

    Numbers count down, so 2 means "the next two". A simulation with its own dice overrides the
    methods instead.

    Attributes:
        away: nobody answers. Polls bring nothing, commits and sends fail; sessions last until
            they are expired.
        answers_held: deliveries and answers to commits wait until this is False again.
        commits_refused: commits that fail and are not applied.
        commits_unanswered: commits that are applied, and look failed.
        sends_refused: messages that are not written.
        sends_unanswered: messages that are written, and look failed.
        records_repeated: how many records the next poll delivers again, of one partition.
    """

    away: bool = False
    answers_held: bool = False
    commits_refused: int = 0
    commits_unanswered: int = 0
    sends_refused: int = 0
    sends_unanswered: int = 0
    records_repeated: int = 0

    def of_commit(self) -> Fate:
        """Asked once for each commit."""
        if self.away:
            return AWAY
        if self.commits_refused:
            self.commits_refused -= 1
            return REFUSED
        if self.commits_unanswered:
            self.commits_unanswered -= 1
            return UNANSWERED
        return FINE

    def of_send(self) -> Fate:
        """Asked once for each message."""
        if self.away:
            return AWAY
        if self.sends_refused:
            self.sends_refused -= 1
            return REFUSED
        if self.sends_unanswered:
            self.sends_unanswered -= 1
            return UNANSWERED
        return FINE

    def repeats(self) -> int:
        """Asked by each poll that could deliver something again."""
        count, self.records_repeated = self.records_repeated, 0
        return count


@dataclass(slots=True, eq=False)
class Process:
    """One client of the cluster, with all of its consumers and producers."""

    name: str
    faults: Faults
    alive: bool = True

    def fate_of_commit(self) -> Fate:
        """What becomes of a commit that this process sends now."""
        return self.faults.of_commit() if self.alive else AWAY

    def fate_of_send(self) -> Fate:
        """What becomes of a message that this process sends now."""
        return self.faults.of_send() if self.alive else AWAY

    @property
    def connected(self) -> bool:
        """Whether anything that it does reaches the cluster."""
        return self.alive and not self.faults.away
