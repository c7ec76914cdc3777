"""The coordinator of transactions: who may write under which id, and what is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streamjobs.broker.memory.group import Group, Membership
from streamjobs.broker.memory.log import Log
from streamjobs.broker.ports import Commit
from streamjobs.errors import FencedError
from streamjobs.record import Record

__all__ = ("Coordinator", "Session", "Transaction")


@dataclass(slots=True, eq=False)
class Transaction:
    """One that is open, and where it has left something. (Dictionaries, for the order.)"""

    deadline: float
    logs: dict[Log, None] = field(default_factory=dict)
    groups: dict[Group, None] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Session:
    """One producer, from its start until somebody else starts with its id."""

    id: str
    timeout: float
    transaction: Transaction | None = None
    ended: str | None = None


class Coordinator:
    """Ends transactions, all of each at once. The cluster's lock guards it; it takes none itself.

    Args:
        clock: seconds.
        published: told of the records of each transaction that is committed.
    """

    def __init__(
        self, clock: Callable[[], float], published: Callable[[Sequence[Record]], None]
    ) -> None:
        self._clock = clock
        self._published = published
        self._sessions: dict[str, Session] = {}
        self._open: dict[Session, Transaction] = {}

    def start(self, transactional_id: str, timeout: float) -> Session:
        """A new producer; its predecessor is fenced, and what that one left open is aborted."""
        if predecessor := self._sessions.get(transactional_id):
            self._stop(predecessor, "another producer has started with its id")
        session = self._sessions[transactional_id] = Session(transactional_id, timeout)
        return session

    def transaction(self, session: Session) -> Transaction:
        """The open transaction of this producer; its clock starts when it is asked for first.

        Raises:
            FencedError: the producer has ended.
        """
        self.check(session)
        if session.transaction is None:
            session.transaction = Transaction(self._clock() + session.timeout)
            self._open[session] = session.transaction
        return session.transaction

    def check(self, session: Session) -> None:
        """Raise FencedError if this producer has ended."""
        if session.ended is not None:
            raise FencedError(f"transactional id {session.id}: {session.ended}")

    def add(self, session: Session, membership: Membership, commits: Sequence[Commit]) -> None:
        """Hold offsets until the transaction ends.

        Raises:
            FencedError: the producer has ended.
        """
        transaction = self.transaction(session)
        transaction.groups[membership.group] = None
        membership.group.hold(transaction, commits)

    def end(self, session: Session, *, committed: bool) -> None:
        """Let all of the open transaction be seen, or nothing ever."""
        transaction, session.transaction = session.transaction, None
        if transaction is None:
            return
        del self._open[session]
        for group in transaction.groups:
            group.settle(transaction, committed)
        records = [
            record for log in transaction.logs for record in log.settle(transaction, committed)
        ]
        if committed and records:
            self._published(records)

    def overdue(self) -> list[Session]:
        """The producers whose transaction is open for longer than it may be."""
        if not self._open:
            return []
        now = self._clock()
        return [session for session, open_one in self._open.items() if open_one.deadline <= now]

    def stop_overdue(self) -> None:
        """Abort what is overdue; as in Kafka, its producer is fenced."""
        for session in self.overdue():
            self._stop(session, f"its transaction was open for more than {session.timeout:g} s")

    def _stop(self, session: Session, reason: str) -> None:
        self.end(session, committed=False)
        session.ended = session.ended or reason
