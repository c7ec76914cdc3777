"""One commit of everything that is merged: state, emitted records, and the progress they belong to,
in one transaction of Kafka's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple

from streamjobs.broker.ports import Commit, Delivery, Message, Producer, Transactions
from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Frozen
from streamjobs.errors import (
    AbortableTransactionError,
    BrokerUnavailableError,
    TransactionError,
)
from streamjobs.state.cache import Cut, WriteBackCache
from streamjobs.state.changelog import messages
from streamjobs.state.errors import StateError

__all__ = ("Checkpoint", "TransactionalProducer")

TIMEOUT: Final = 30.0
"""Seconds that a commit, an abort or a start may take."""

STEP: Final = 0.005


class _Taken(NamedTuple):
    """The changes of one store in this checkpoint."""

    generation: Generation
    store: str
    cache: WriteBackCache
    cut: Cut


class Checkpoint:
    """Used by the owner's thread only.

    Args:
        open_transactions: makes the producer of transactions: again after one that was fenced, or
            of which nobody knows what became.
        max_wait: seconds to wait for the acknowledgement of changelog records.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        open_transactions: Callable[[], Transactions],
        max_wait: float = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_transactions = open_transactions
        self._max_wait = max_wait
        self._clock = clock
        self._transactions: Transactions | None = None
        self._begun = False

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

    @property
    def begun(self) -> bool:
        """Whether anything was written since the last one."""
        return self._begun

    def commit(
        self,
        generations: Collection[Generation],
        group: object | None,
        ending: Collection[Generation] = (),
    ) -> Mapping[Generation, Frozen]:
        """Commit what is merged, and flush it to the stores; returns the progress of each
        generation that had any. All that they emitted has to be acknowledged.

        Raises:
            TransactionError: nothing was committed, or nobody knows; `abort` comes next.
            StateError: a store did not take what was committed; its changelog has it.
        """
        taken = [
            _Taken(generation, store, cache, cache.take())
            for generation in generations
            for store, cache in generation.stores.items()
        ]
        ends = self._write(taken) if any(each.cut.changes for each in taken) else {}
        for (generation, store), offset in ends.items():
            generation.changelog_ends[store] = offset + 1
        frozen = _frozen(generations, ending)
        if frozen or self._begun:
            self._commit(frozen, group)
        try:
            for each in taken:
                each.cache.flush(each.cut, ends.get((each.generation, each.store)))
        except StateError:
            for each in taken:
                each.cache.drop()  # it is committed: the changelogs have it
            raise
        return frozen

    def abort(self) -> None:
        """Nothing since the last one is to be seen. What cannot be aborted any more is left to the
        next producer of the same id, which ends it.
        """
        begun, self._begun = self._begun, False
        if self._transactions is None or not begun:
            return
        try:
            self._transactions.abort(self._max_wait)
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
                transactions.start(self._max_wait)
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

    def _commit(self, frozen: Mapping[Generation, Frozen], group: object | None) -> None:
        transactions = self.open()
        commits = [
            Commit(generation.partition, each.frontier, each.metadata)
            for generation, each in frozen.items()
        ]
        try:
            transactions.commit(commits, group, self._max_wait)
        except AbortableTransactionError:
            raise
        except TransactionError:
            self._give_up()
            raise
        self._begun = False

    def _write(self, taken: Iterable[_Taken]) -> dict[tuple[Generation, str], int]:
        """The changelog records; returns the last offset of each store's, once all are written."""
        transactions = self.open()
        answers = _Answers()
        for generation, store, _, cut in taken:
            if cut.changes:
                topic = generation.route.changelogs[store]
                done = answers.of((generation, store))
                for message in messages(topic, generation.partition.partition, cut.changes):
                    answers.expected += 1
                    transactions.send(message, done)
        deadline = self._clock() + self._max_wait
        while answers.expected:
            transactions.poll(STEP)
            if self._clock() > deadline:
                raise AbortableTransactionError("changelog records were not acknowledged in time")
        if answers.error is not None:
            raise AbortableTransactionError(f"a changelog record was refused: {answers.error}")
        return answers.offsets


class _Answers:
    """What became of changelog records."""

    def __init__(self) -> None:
        self.expected = 0
        self.error: str | None = None
        self.offsets: dict[tuple[Generation, str], int] = {}

    def of(self, store: tuple[Generation, str]) -> Callable[[Delivery], None]:
        def done(delivery: Delivery) -> None:
            self.expected -= 1
            if delivery.error is not None:
                self.error = self.error or delivery.error
            else:
                self.offsets[store] = max(self.offsets.get(store, -1), delivery.offset)

        return done


class TransactionalProducer(Producer):
    """What handlers emit goes into the open transaction."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def send(self, message: Message, done: Callable[[Delivery], None] | None = None) -> None:
        try:
            self._checkpoint.open().send(message, done)
        except TransactionError as error:
            # The checkpoint finds the same, and what was emitted in vain is read again.
            if done is not None:
                done(Delivery(message.topic, -1, -1, str(error)))

    def poll(self, timeout: float) -> None:
        self._checkpoint.poll(timeout)

    def flush(self, timeout: float) -> int:
        self._checkpoint.poll(timeout)
        return 0


def _frozen(
    generations: Iterable[Generation], ending: Collection[Generation]
) -> dict[Generation, Frozen]:
    frozen = {}
    for generation in generations:
        if generation.dirty or generation in ending:
            generation.dirty = False
            progress = generation.freeze(closed=generation in ending)
            if progress != generation.committed:
                frozen[generation] = progress
    return frozen
