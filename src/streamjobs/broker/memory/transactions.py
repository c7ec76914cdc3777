"""Transactions in memory: a producer that can take back what it wrote."""

from __future__ import annotations

from collections.abc import Sequence

from streamjobs.broker.memory.cluster import MemoryCluster
from streamjobs.broker.memory.coordinator import Session
from streamjobs.broker.memory.faults import Ending, Process
from streamjobs.broker.memory.group import Membership
from streamjobs.broker.memory.producer import Done, MemoryProducer
from streamjobs.broker.ports import Commit, Delivery, Message, Transactions
from streamjobs.errors import AbortableTransactionError, UnknownTransactionError
from streamjobs.record import Record

__all__ = ("MemoryTransactions",)


class MemoryTransactions(MemoryProducer, Transactions):
    """Writes at once what nobody sees yet. A process that is killed leaves it open."""

    def __init__(
        self, cluster: MemoryCluster, process: Process, transactional_id: str, timeout: float
    ) -> None:
        super().__init__(cluster, process)
        self._id = transactional_id
        self._timeout = timeout
        self._session: Session | None = None
        self._open = False
        self._problem: str | None = None  # with a message of the open transaction

    def start(self, timeout: float) -> None:
        self._process.reach()
        with self._cluster.changing():
            self._session = self._cluster.coordinator.start(self._id, self._timeout)

    def begin(self) -> None:
        self._started()
        if self._open:
            raise RuntimeError(f"transaction {self._id}: the last one is still open")
        self._open, self._problem = True, None

    def send(self, message: Message, done: Done | None = None) -> None:
        self._begun()
        if self._problem is not None:
            raise AbortableTransactionError(
                f"the transaction has failed: a record before this one was not written: "
                f"{self._problem}"
            )
        super().send(message, done)

    def _append(self, message: Message) -> Record:
        return self._cluster.stage(message, self._begun())

    def _deliver(self, message: Message) -> Delivery:
        delivery = super()._deliver(message)
        self._problem = self._problem or delivery.error
        return delivery

    def commit(self, commits: Sequence[Commit], group: object | None, timeout: float) -> None:
        session = self._begun()
        if unwritten := self.flush(timeout):
            raise AbortableTransactionError(
                f"{unwritten} records were not acknowledged within {timeout:g} s"
            )
        if self._problem is not None:
            raise AbortableTransactionError(f"a record was not written: {self._problem}")
        ending = self._process.fate_of_transaction()
        if ending is Ending.REFUSED:
            raise AbortableTransactionError("_TIMED_OUT: refused, or the broker is away")
        with self._cluster.changing():
            if commits:
                self._add(session, commits, group)
            self._end(session, ending)

    def _add(self, session: Session, commits: Sequence[Commit], group: object | None) -> None:
        if not isinstance(group, Membership):
            raise AbortableTransactionError("offsets are committed by members of the group only")
        if refusal := group.refusal(commits):
            raise AbortableTransactionError(refusal)
        self._cluster.coordinator.add(session, group, commits)

    def _end(self, session: Session, ending: Ending) -> None:
        coordinator = self._cluster.coordinator
        self._open = False
        if ending is Ending.FENCED:
            coordinator.start(session.id, session.timeout)
            coordinator.check(session)
        if ending is not Ending.LOST:
            coordinator.end(session, committed=True)
        if ending is not Ending.COMMITTED:
            self._session = None
            raise UnknownTransactionError("_TIMED_OUT: no answer to the commit")

    def abort(self, timeout: float) -> None:
        session = self._begun()
        self._purge()
        self._open = False
        if not self._process.connected:
            self._session = None
            raise UnknownTransactionError("_TIMED_OUT: no answer to the abort")
        with self._cluster.changing():
            self._cluster.coordinator.end(session, committed=False)

    def _purge(self) -> None:
        """What nobody has heard of until now is as good as not written."""
        self._tell()
        while self._deliveries and self._process.alive:
            done, delivery = self._deliveries.popleft()
            if done is not None:
                done(delivery._replace(offset=-1, error="_PURGE: the transaction was aborted"))

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None and self._open and self._process.connected:
            self._purge()
            with self._cluster.changing():
                self._cluster.coordinator.end(session, committed=False)
        self._open = False

    def _started(self) -> Session:
        if self._session is None:
            raise RuntimeError(f"transaction {self._id}: start one first")
        if self._process.connected:
            self._cluster.heed_time()
            self._cluster.coordinator.check(self._session)
        return self._session

    def _begun(self) -> Session:
        session = self._started()
        if not self._open:
            raise RuntimeError(f"transaction {self._id}: begin first")
        return session
