"""Transactions on Kafka: a producer that can take back what it wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from streamjobs.broker.ports import Commit, Transactions
from streamjobs.broker.quix.client import ConnectionConfig, KafkaError, KafkaException, logger
from streamjobs.broker.quix.errors import error_of, text_of, unavailable
from streamjobs.broker.quix.group_client import commit_offsets
from streamjobs.broker.quix.producer import QuixProducer
from streamjobs.broker.quix.settings import transaction_settings
from streamjobs.errors import (
    AbortableTransactionError,
    FencedError,
    StreamjobsError,
    TransactionError,
    UnknownTransactionError,
)

__all__ = ("QuixTransactions",)

CLOSE_WITHIN: Final = 5.0
LEAST: Final = 0.1  # seconds for a question when time is up: 0 and less mean something else


class QuixTransactions(QuixProducer, Transactions):
    """librdkafka's own, with every step told apart: only the last one can leave us in doubt."""

    def __init__(
        self,
        address: str,
        connection: ConnectionConfig,
        transactional_id: str,
        timeout: float,
        extra: Mapping[str, Any],
    ) -> None:
        settings = transaction_settings(extra, transactional_id, timeout)
        super().__init__(address, connection, settings)
        self._id = transactional_id
        self._open = False

    def start(self, timeout: float) -> None:
        try:
            self._client.init_transactions(timeout)
        except KafkaException as error:
            raise unavailable(self._address, error) from None

    def begin(self) -> None:
        with self._telling(RuntimeError):
            self._client.begin_transaction()
        self._open = True

    def commit(self, commits: Sequence[Commit], group: object | None, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        try:
            self._write_out(timeout)
            with self._telling(AbortableTransactionError):
                if commits:
                    self._add(commits, group, _left(deadline))
            # From here on the client goes on trying, even after an error that says "timed out".
            with self._telling(UnknownTransactionError):
                self._client.commit_transaction(_left(deadline))
            self._open = False
        finally:
            self._deliver()

    def _write_out(self, timeout: float) -> None:
        """Before the commit, which would do it, too: there nobody could tell who was late."""
        if unwritten := self.flush(timeout):
            raise AbortableTransactionError(
                f"{unwritten} records were not acknowledged within {timeout:g} s"
            )

    def _add(self, commits: Sequence[Commit], group: object | None, timeout: float) -> None:
        if group is None:  # the broker would take them from somebody who is in no group
            raise AbortableTransactionError("offsets are committed by members of the group only")
        self._client.send_offsets_to_transaction(commit_offsets(commits), group, timeout)

    def abort(self, timeout: float) -> None:
        try:
            with self._telling(UnknownTransactionError):
                self._client.abort_transaction(timeout)
            self._open = False
        finally:
            self._deliver()

    def close(self) -> None:
        """The client itself ends when nobody refers to it any more."""
        if self._open:
            with suppress(TransactionError, RuntimeError):
                self.abort(CLOSE_WITHIN)
            self._open = False

    @contextmanager
    def _telling(self, otherwise: type[Exception]) -> Iterator[None]:
        """What the client's error means: what it is sure of, else `otherwise`."""
        try:
            yield
        except KafkaException as exception:
            error = error_of(exception)
            if error.fatal():
                problem: Exception = self._fenced(error)
            elif error.txn_requires_abort():
                problem = AbortableTransactionError(text_of(error))
            elif error.code() == KafkaError._STATE:
                problem = RuntimeError(f"transaction {self._id}: {text_of(error)}")
            else:
                problem = otherwise(text_of(error))
            if isinstance(problem, FencedError | UnknownTransactionError):
                self._open = False  # nothing that `close` could end
            raise problem from None

    def _fenced(self, error: Any) -> FencedError:
        return FencedError(
            f"transactional id {self._id}: {text_of(error)}. Does another process have the same "
            "one, or was its transaction open for longer than its timeout?"
        )

    def _refusal(self, topic: str, error: Any) -> StreamjobsError:
        """Not every message is refused for what it is itself."""
        if error.fatal() or error.code() == KafkaError._FATAL:
            return self._fenced(error)
        if error.code() == KafkaError._STATE:
            return AbortableTransactionError(
                "the transaction has failed: a record before this one was not written"
            )
        return super()._refusal(topic, error)

    def _unasked(self, error: Any, message: Any) -> None:
        """Who commits hears of it."""

    def _on_error(self, error: Any) -> None:
        """What ends the producer is raised by the next call that asks the broker something."""
        if error.fatal():
            logger.debug("transactional id %s: %s", self._id, text_of(error))
        else:
            super()._on_error(error)


def _left(deadline: float) -> float:
    return max(LEAST, deadline - time.monotonic())
