"""The owner's commits where they are checkpoints: everything that is merged, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from streamjobs.broker.ports import CommitResult, Consumer
from streamjobs.engine.checkpoint import Checkpoint, Stage
from streamjobs.engine.commits import Commits
from streamjobs.engine.due import Due
from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Frozen
from streamjobs.engine.outbox import Outbox
from streamjobs.engine.scheduler import Scheduler
from streamjobs.errors import AbortableTransactionError, TransactionError

__all__ = ("Checkpoints",)

ACKNOWLEDGED_WITHIN: Final = 10.0
"""Seconds in which what a checkpoint emitted has to arrive."""

LAST_ACKNOWLEDGED_WITHIN: Final = 5.0
"""The same when partitions go away, where the whole group waits for it."""

STEP: Final = 0.01
"""Seconds for which one look at acknowledgements waits, where there is nothing else to do."""

LATE: Final = "what was emitted is not acknowledged"


class Checkpoints(Commits):
    """One at a time: it is wanted, it cuts when all that was emitted has arrived, and then needs as
    many turns as it has pieces. Handlers run on all the while, and after the cut their results are
    merged again: for the next checkpoint.

    Args:
        checkpoint: the one under way.
        scheduler: whose generations.
        outbox: where emits wait for their acknowledgement.
        due: when the next one is.
        clock: monotonic seconds.
        emits_in_transaction: whether what handlers emit is in it, too (exactly-once).
        group: as whom the process commits.
        committed: called with the progress that was committed.
        abort: called with the reason when all since the last one has to be done again; it calls
            `abort` here.
        flush_sinks: called before each cut; returns those of which nothing may be committed, after
            which there is nothing to cut.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        scheduler: Scheduler,
        outbox: Outbox,
        due: Due,
        clock: Callable[[], float],
        emits_in_transaction: bool,
        group: Callable[[], object | None],
        committed: Callable[[Mapping[Generation, Frozen]], None],
        abort: Callable[[str], None],
        flush_sinks: Callable[[], Collection[Generation]] = tuple,
    ) -> None:
        self._checkpoint = checkpoint
        self._scheduler = scheduler
        self._outbox = outbox
        self._due = due
        self._clock = clock
        self._emits_in_transaction = emits_in_transaction
        self._group = group
        self._committed = committed
        self._abort = abort
        self._flush_sinks = flush_sinks
        self._wanted_since: float | None = None

    def attach(self, consumer: Consumer) -> None:
        """Its transactions commit for it."""

    @property
    def may_merge(self) -> bool:
        """Not while the cut waits for acknowledgements: it would never come. And not much more than
        one checkpoint takes while that is under way.
        """
        if self._wanted_since is not None:
            return False
        return not self.under_way or not self._due.is_much(self._generations)

    @property
    def under_way(self) -> bool:
        return self._checkpoint.stage is not Stage.OVER

    def turn(self, now: float) -> None:
        if self.under_way:
            self.go_on()
        elif self._wanted_since is not None or self._due.is_due(self._generations, now):
            self._cut_when_acknowledged(now)

    def go_on(self) -> None:
        try:
            if self.under_way:
                self._step()
        except TransactionError as error:
            self._abort(str(error))

    def last(self, generations: Sequence[Generation]) -> None:
        try:
            self._finish()
            self._wait_for_acknowledgements()
            if self._is_late or self._is_tainted:
                raise AbortableTransactionError(LATE)
            if not self._flush_sinks():
                self._cut(generations)
                self._finish()
        except TransactionError as error:
            self._abort(str(error))

    def save(self, generation: Generation) -> None:
        """It is for the next checkpoint, of which this one is no part."""

    def prepare_to_rewind(self) -> None:
        self._checkpoint.transaction.start()  # what is still open holds the offsets

    def flush(self) -> None:
        self._checkpoint.flush()

    def lost(self) -> None:
        if self._checkpoint.is_uncommitted or self._checkpoint.transaction.begun:
            self._abort("partitions were lost")

    def abort(self) -> None:
        self._wanted_since = None
        self._checkpoint.abort()
        self._outbox.release()

    def answered(self, result: CommitResult) -> None:
        """Nothing is sent that way."""

    def forget(self, generation: Generation) -> None:
        """Before one that it has cut ends, a checkpoint is through, or aborted."""

    def close(self) -> None:
        self._checkpoint.transaction.close()

    # -- one of them -------------------------------------------------------------------------

    def _cut_when_acknowledged(self, now: float) -> None:
        if self._wanted_since is None:
            self._scheduler.harvest_all(self._outbox.keep)
            self._wanted_since = now
        if self._is_late and now - self._wanted_since < ACKNOWLEDGED_WITHIN:
            return
        self._wanted_since = None
        self._due.begin(now)
        if self._is_late:
            self._abort(LATE)
        elif not self._is_tainted and not self._flush_sinks():
            self._cut()
            self.go_on()

    @property
    def _is_late(self) -> bool:
        """Whether anything that belongs to the cut has not arrived."""
        return any(each.emitting and not each.doomed for each in self._generations)

    @property
    def _is_tainted(self) -> bool:
        """Whether something is in the transaction whose progress will never be."""
        return self._emits_in_transaction and any(each.doomed for each in self._generations)

    def _cut(self, ending: Sequence[Generation] = ()) -> None:
        self._wanted_since = None
        sound = [each for each in self._generations if not each.doomed]
        self._checkpoint.begin(sound, ending)
        if self._emits_in_transaction:
            self._outbox.hold()

    def _step(self, wait: float = 0) -> None:
        frozen = self._checkpoint.go_on(self._group(), wait)
        if not self._checkpoint.is_uncommitted:
            self._outbox.release()
        if frozen:
            self._committed(frozen)

    def _finish(self) -> None:
        """What is under way comes to its end; the checkpoint knows how long that may take."""
        while self.under_way:
            self._step(STEP)

    def _wait_for_acknowledgements(self) -> None:
        """All that is merged commits together: what the partitions that stay emitted, too. Nothing
        more is merged meanwhile.
        """
        for _ in range(int(LAST_ACKNOWLEDGED_WITHIN / STEP)):
            if not self._is_late:
                return
            self._outbox.poll(STEP)

    @property
    def _generations(self) -> Sequence[Generation]:
        return list(self._scheduler.generations.values())
