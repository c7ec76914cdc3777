"""What stands where a broker has no transactions: the same calls, without their promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from streamjobs.broker.ports import Commit, Consumer, Delivery, Message, Producer, Transactions
from streamjobs.errors import AbortableTransactionError

__all__ = ("Untransacted",)

CLOSE_WITHIN: Final = 2.0


class Untransacted(Transactions):
    """Records are seen as soon as they are written, and stay when a commit fails. For trying out.

    Args:
        producer: writes the records.
        consumer: the member of the group that commits.
    """

    def __init__(self, producer: Producer, consumer: Callable[[], Consumer]) -> None:
        self._producer = producer
        self._consumer = consumer

    def start(self, timeout: float) -> None:
        """There is no predecessor to fence."""

    def begin(self) -> None:
        """Nothing to open."""

    def send(self, message: Message, done: Callable[[Delivery], None] | None = None) -> None:
        self._producer.send(message, done)

    def poll(self, timeout: float) -> None:
        self._producer.poll(timeout)

    def commit(self, commits: Sequence[Commit], group: object | None, timeout: float) -> None:
        if self._producer.flush(timeout):
            raise AbortableTransactionError("what was written is not acknowledged")
        error = self._consumer().commit_now(commits, timeout).error
        if error is not None:
            raise AbortableTransactionError(error)

    def abort(self, timeout: float) -> None:
        self._producer.flush(timeout)

    def close(self) -> None:
        self._producer.flush(CLOSE_WITHIN)
