"""One commit of everything that is merged: state, emitted records, and the progress they belong to,
in one transaction of Kafka's. It is spread over the owner's turns:

    begin ──► WRITING ──────► WRITTEN ───────► (commit) ──► FLUSHING ──► over
    the cut   changelog       until they are                stores,
              records, a      acknowledged                  a piece a turn
              piece a turn
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import Enum
from typing import Final, NamedTuple

from streamjobs.broker.ports import Commit, Delivery, Message, Transactions
from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Frozen
from streamjobs.engine.narrow import NarrowChangelogs
from streamjobs.engine.snapshot import Snapshot
from streamjobs.engine.transaction import Transaction
from streamjobs.errors import AbortableTransactionError, DeliveryError
from streamjobs.state.cache import Cut, WriteBackCache
from streamjobs.state.changelog import messages
from streamjobs.state.errors import StateError

__all__ = ("MOST_PIECES", "PIECE", "Checkpoint", "Stage")

TIMEOUT: Final = 30.0
"""Seconds that a commit, an abort or a start may take."""

PIECE: Final = 250
"""Changes that are written in one turn: about 3 ms as changelog records, less for a store."""

PIECE_BYTES: Final = 256 * 1024

MOST_PIECES: Final = 200
"""Pieces that a checkpoint is cut into: with more changes they are larger. Where handlers leave the
owner little of the GIL a turn takes tens of milliseconds, and a transaction has only so long.
"""


class Stage(Enum):
    """Where a checkpoint is."""

    OVER = "none is under way"
    WRITING = "changelog records are written"
    WRITTEN = "they are on their way"
    FLUSHING = "it is committed, and the stores take it in"


class _Unsent(NamedTuple):
    """A changelog record, and who is told where it is."""

    message: Message
    done: Callable[[Delivery], None]


class _Taken(NamedTuple):
    """The changes of one store in this checkpoint."""

    generation: Generation
    store: str
    cache: WriteBackCache
    cut: Cut


class Checkpoint:
    """One after another. Used by the owner's thread only.

    Args:
        open_transactions: as for `Transaction`.
        max_wait: seconds to wait for the acknowledgement of changelog records.
        clock: monotonic seconds.
        piece: changes that are written in one turn; more of them where there are very many.
        narrow: changelogs that have to be written one record at a time.

    Attributes:
        transaction: what everything goes into.
        stage: where it is.
    """

    def __init__(
        self,
        open_transactions: Callable[[], Transactions],
        max_wait: float = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
        piece: int = PIECE,
        narrow: NarrowChangelogs | None = None,
    ) -> None:
        self.transaction = Transaction(open_transactions, max_wait)
        self.stage = Stage.OVER
        self._max_wait = max_wait
        self._clock = clock
        self._least = self._piece = piece
        self._narrow = narrow or NarrowChangelogs()
        self._is_alone = False
        self._snapshots: Mapping[Generation, Snapshot] = {}
        self._taken: list[_Taken] = []
        self._answers = _Answers()
        self._deadline = 0.0
        self._unsent: Iterator[_Unsent] = iter(())
        self._unflushed: Iterator[int] = iter(())

    def begin(
        self, generations: Collection[Generation], ending: Collection[Generation] = ()
    ) -> None:
        """The cut: what is merged now is in this checkpoint, progress and changes alike. What
        comes later is for the next one. All that they emitted has to be acknowledged.
        """
        self._snapshots = _snapshots(generations, ending)
        self._taken = [
            _Taken(generation, store, cache, cache.take())
            for generation in generations
            for store, cache in generation.stores.items()
        ]
        changes = sum(len(each.cut.changes) for each in self._taken)
        self._piece = max(self._least, changes // MOST_PIECES)
        self._unsent = self._records()
        self.stage = Stage.WRITING

    def go_on(self, group: object | None, wait: float = 0) -> Mapping[Generation, Frozen]:
        """A piece more, and all that does not have to wait; `wait` seconds for acknowledgements.
        Returns the progress of each generation that had any, when that is committed.

        Raises:
            TransactionError: nothing was committed, or nobody knows; `abort` comes next.
            StateError: a store did not take what was committed; its changelog has it.
        """
        frozen: Mapping[Generation, Frozen] = {}
        if self.stage is Stage.WRITING:
            self._write(wait)
        if self.stage is Stage.WRITTEN and self._is_acknowledged(wait):
            frozen = self._commit(group)
            self._unflushed = self._pieces()
            self.stage = Stage.FLUSHING
        if self.stage is Stage.FLUSHING:
            self._flush(self._piece)
        return frozen

    @property
    def is_uncommitted(self) -> bool:
        """Whether it has cut, and not committed yet."""
        return self.stage in {Stage.WRITING, Stage.WRITTEN}

    def flush(self) -> None:
        """What is committed goes to the stores now, without any more turns.

        Raises:
            StateError: as `go_on`.
        """
        while self.stage is Stage.FLUSHING:
            self._flush(self._piece)

    def abort(self) -> None:
        """Nothing since the last commit is to be seen: neither of this checkpoint, nor of what was
        written for the next one.
        """
        self.flush()
        self.transaction.abort()
        self._clear()

    # -- the steps ---------------------------------------------------------------------------

    def _write(self, wait: float) -> None:
        if self._is_alone and not self._is_acknowledged(wait):
            return
        left, left_bytes = self._piece, PIECE_BYTES
        for message, done in self._unsent:
            self._answers.expected += 1
            try:
                self.transaction.open().send(message, done)
            except DeliveryError as error:
                raise AbortableTransactionError(
                    f"a changelog record was refused: {error}"
                ) from error
            left -= 1
            left_bytes -= len(message.value or b"")
            self._is_alone = message.topic in self._narrow
            if self._is_alone:
                self._deadline = self._clock() + self._max_wait
            if left <= 0 or left_bytes <= 0 or self._is_alone:
                self.transaction.poll(0)
                return
        self.stage = Stage.WRITTEN
        self._deadline = self._clock() + self._max_wait

    def _records(self) -> Iterator[_Unsent]:
        for generation, store, _, cut in self._taken:
            topic = generation.route.changelogs[store]
            done = self._answers.of((generation, store))
            together = None if topic in self._narrow else self._narrow.watch(done)
            for message in messages(topic, generation.partition.partition, cut.changes):
                yield _Unsent(message, together or self._narrow.watch_alone(message, done))

    def _is_acknowledged(self, wait: float) -> bool:
        answers = self._answers
        if answers.expected:
            self.transaction.poll(wait)
        if answers.error is not None:
            raise AbortableTransactionError(f"a changelog record was refused: {answers.error}")
        if answers.expected and self._clock() > self._deadline:
            raise AbortableTransactionError("changelog records were not acknowledged in time")
        return not answers.expected

    def _commit(self, group: object | None) -> dict[Generation, Frozen]:
        for (generation, store), offset in self._answers.offsets.items():
            generation.changelog_ends[store] = offset + 1
        frozen = {
            generation: progress
            for generation, snapshot in self._snapshots.items()
            if (progress := snapshot.frozen(generation.ends)) != generation.committed
        }
        if frozen or self.transaction.begun:
            commits = [
                Commit(generation.partition, each.frontier, each.metadata)
                for generation, each in frozen.items()
            ]
            self.transaction.commit(commits, group)
        return frozen

    def _pieces(self) -> Iterator[int]:
        for generation, store, cache, cut in self._taken:
            offset = self._answers.offsets.get((generation, store))
            yield from cache.flushing(cut, offset, self._piece)

    def _flush(self, entries: int) -> None:
        try:
            for written in self._unflushed:
                entries -= written
                if entries <= 0:
                    return
        except StateError:
            for each in self._taken:
                each.cache.drop()  # it is committed: the changelogs have it
            self._clear()
            raise
        self._clear()

    def _clear(self) -> None:
        self.stage = Stage.OVER
        self._snapshots, self._taken, self._answers = {}, [], _Answers()
        self._unsent, self._unflushed = iter(()), iter(())
        self._is_alone = False


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


def _snapshots(
    generations: Collection[Generation], ending: Collection[Generation]
) -> dict[Generation, Snapshot]:
    snapshots = {}
    for generation in generations:
        if generation.dirty or generation in ending:
            generation.dirty = False
            snapshots[generation] = generation.snapshot(closed=generation in ending)
    return snapshots
