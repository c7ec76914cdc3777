"""The transaction that everything goes into until the next commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamjobs.broker.ports import Commit, Delivery, Message, Producer, Transactions
from streamjobs.errors import (
    AbortableTransactionError,
    BrokerUnavailableError,
    TransactionError,
)

__all__ = ("Transaction", "TransactionalProducer")


class Transaction:
    """One after another: each begins with the first thing that is written after the end of the one
    before. Used by the owner's thread only.

    Args:
        open_transactions: makes the producer of transactions: again after one that was fenced, or
            of which nobody knows what became.
        timeout: seconds that a commit, an abort or a start may take.
    """

    def __init__(self, open_transactions: Callable[[], Transactions], timeout: float) -> None:
        self._open_transactions = open_transactions
        self._timeout = timeout
        self._transactions: Transactions | None = None
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether anything was written since the last commit."""
        return self._begun

    def start(self) -> None:
        """Take the id over, so that what a predecessor left open is ended before any partition is
        read.

        Raises:
            BrokerUnavailableError: nobody answered.
        """
        self._ready()

    def open(self) -> Transactions:
        """The open transaction.

        Raises:
            TransactionError: there is none, and can be none now.
        """
        try:
            transactions = self._ready()
        except BrokerUnavailableError as error:
            raise AbortableTransactionError(str(error)) from error
        if not self._begun:
            try:
                transactions.begin()
            except TransactionError:
                self._give_up()
                raise
            self._begun = True
        return transactions

    def poll(self, wait: float) -> None:
        """Take in acknowledgements that have come; waits for the first so many seconds."""
        if self._begun and self._transactions is not None:
            self._transactions.poll(wait)

    def commit(self, commits: Sequence[Commit], group: object | None) -> None:
        """Commit all that was written, and these.

        Raises:
            TransactionError: nothing was committed, or nobody knows; `abort` comes next.
        """
        transactions = self.open()
        try:
            transactions.commit(commits, group, self._timeout)
        except AbortableTransactionError:
            raise
        except TransactionError:
            self._give_up()
            raise
        self._begun = False

    def abort(self) -> None:
        """Nothing since the last commit is to be seen. What cannot be aborted any more is left to
        the next producer of the same id, which ends it.
        """
        begun, self._begun = self._begun, False
        if self._transactions is None or not begun:
            return
        try:
            self._transactions.abort(self._timeout)
        except TransactionError:
            self._give_up()

    def close(self) -> None:
        """Abort what is open."""
        if self._transactions is not None:
            self._transactions.close()
            self._transactions = None

    def _ready(self) -> Transactions:
        if self._transactions is None:
            transactions = self._open_transactions()
            try:
                transactions.start(self._timeout)
            except BrokerUnavailableError:
                transactions.close()
                raise
            self._transactions = transactions
        return self._transactions

    def _give_up(self) -> None:
        """This producer is of no use any more."""
        if self._transactions is not None:
            self._transactions.close()
            self._transactions = None
        self._begun = False


class TransactionalProducer(Producer):
    """What handlers emit goes into the open transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def send(self, message: Message, done: Callable[[Delivery], None] | None = None) -> None:
        try:
            self._transaction.open().send(message, done)
        except TransactionError as error:
            # The checkpoint finds the same, and what was emitted in vain is read again.
            if done is not None:
                done(Delivery(message.topic, -1, -1, str(error)))

    def poll(self, timeout: float) -> None:
        self._transaction.poll(timeout)

    def flush(self, timeout: float) -> int:
        self._transaction.poll(timeout)
        return 0
