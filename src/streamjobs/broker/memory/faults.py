"""What goes wrong between a process and the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from streamjobs.errors import BrokerUnavailableError

__all__ = ("Ending", "Fate", "Faults", "Process")


class Fate(NamedTuple):
    """What becomes of one request: whether the cluster does it, and what the client hears."""

    applied: bool
    error: str | None


FINE = Fate(True, None)
REFUSED = Fate(False, "_FAIL: refused by an injected fault")
UNANSWERED = Fate(True, "_TIMED_OUT: no answer, by an injected fault")
AWAY = Fate(False, "_TIMED_OUT: the broker is away")


class Ending(Enum):
    """What becomes of a transaction that is to be committed."""

    COMMITTED = "committed"
    REFUSED = "not even its offsets are taken"
    UNANSWERED = "committed, and nobody says so"
    LOST = "open, with its offsets, and nobody says so"
    FENCED = "aborted: another producer starts with its id just now"


@dataclass(slots=True)
class Faults:
    """What goes wrong next; the defaults are fair weather.

    Numbers count down, so 2 means "the next two". A simulation with its own dice overrides the
    methods instead.

    Attributes:
        away: nobody answers. Polls bring nothing, commits, sends and questions fail; sessions
            last until they are expired.
        answers_held: deliveries and answers to commits wait until this is False again.
        commits_refused: commits that fail and are not applied.
        commits_unanswered: commits that are applied, and look failed.
        sends_refused: messages that are not written.
        sends_unanswered: messages that are written, and look failed.
        transactions_refused: transactions whose commit fails; they can only be aborted.
        transactions_unanswered: transactions that are committed, and nobody knows.
        transactions_lost: transactions that stay open with their offsets, and nobody knows: until
            somebody starts with their id, or their timeout is over.
        transactions_fenced: transactions whose id is taken over just before they are committed.
        records_repeated: how many records the next poll delivers again, of one partition.
    """

    away: bool = False
    answers_held: bool = False
    commits_refused: int = 0
    commits_unanswered: int = 0
    sends_refused: int = 0
    sends_unanswered: int = 0
    transactions_refused: int = 0
    transactions_unanswered: int = 0
    transactions_lost: int = 0
    transactions_fenced: int = 0
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

    def of_transaction(self) -> Ending:
        """Asked once for each transaction that is to be committed."""
        if self.away:
            return Ending.REFUSED
        if self.transactions_refused:
            self.transactions_refused -= 1
            return Ending.REFUSED
        if self.transactions_unanswered:
            self.transactions_unanswered -= 1
            return Ending.UNANSWERED
        if self.transactions_lost:
            self.transactions_lost -= 1
            return Ending.LOST
        if self.transactions_fenced:
            self.transactions_fenced -= 1
            return Ending.FENCED
        return Ending.COMMITTED

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

    def fate_of_transaction(self) -> Ending:
        """What becomes of a transaction that this process commits now."""
        return self.faults.of_transaction() if self.alive else Ending.REFUSED

    @property
    def connected(self) -> bool:
        """Whether anything that it does reaches the cluster."""
        return self.alive and not self.faults.away

    def reach(self) -> None:
        """Ask the cluster something that needs an answer.

        Raises:
            BrokerUnavailableError: nothing reaches it.
        """
        if not self.connected:
            raise BrokerUnavailableError("the broker in memory is away, by an injected fault")
