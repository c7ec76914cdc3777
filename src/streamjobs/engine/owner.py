"""The owner: the one thread that owns all partition state. Here is its turn, not its thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from streamjobs.broker.ports import (
    Assigned,
    CommitResult,
    Consumer,
    Listener,
    Producer,
    TopicPartition,
)
from streamjobs.engine import completion_map
from streamjobs.engine.committer import Committer
from streamjobs.engine.completion_map import Runs, UnreadableMetadataError
from streamjobs.engine.events import Events
from streamjobs.engine.generation import Generation
from streamjobs.engine.intake import Intake
from streamjobs.engine.outbox import Outbox
from streamjobs.engine.ports import Workers
from streamjobs.engine.reloads import Reloads
from streamjobs.engine.route import Route
from streamjobs.engine.scheduler import Scheduler
from streamjobs.engine.slices import Slice
from streamjobs.record import Record

__all__ = ("Limits", "Owner")

BUSY_WAIT: Final = 0.001
"""Seconds to wait for a worker before asking the broker again, while something runs."""

IDLE_WAIT: Final = 0.05
"""Seconds to wait for the broker while nothing runs; it answers at once when a record comes."""

COMMIT_AGAIN: Final = 0.05
"""Seconds until a commit that was refused is tried again, doubled each time up to the interval:
a rebalance refuses one, and what is done since the one before would all run again after a crash."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the owner holds and how often it commits.

    Attributes:
        window_records, window_bytes: held in memory for one partition, queued and running.
        commit_interval: seconds between commits.
        revoke_timeout: seconds that running records get when their partition goes away.
    """

    window_records: int = 10_000
    window_bytes: int = 64 * 1024 * 1024
    commit_interval: float = 1.0
    revoke_timeout: float = 10.0


class Owner(Listener):
    """Polls, dispatches, merges and commits, a turn at a time.

    Args:
        routes: by topic.
        workers: what runs the handlers.
        producer: for what handlers emit.
        clock: monotonic seconds.
        limits: see `Limits`.
        events: told about everything that happens.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        workers: Workers,
        producer: Producer,
        clock: Callable[[], float],
        limits: Limits,
        events: Events,
    ) -> None:
        self.scheduler = Scheduler(routes, events)
        self.joined = False
        self.stopping = False
        self.fatal: BaseException | None = None
        self._workers = workers
        self._clock = clock
        self._limits = limits
        self._events = events
        self._outbox = Outbox(producer, self._acknowledged, self._undelivered)
        self._committer = Committer(events)
        self._intake = Intake(limits.window_records, limits.window_bytes)
        self._next_commit = clock() + limits.commit_interval
        self._commit_again = COMMIT_AGAIN
        self._undeliverable: dict[Generation, None] = {}
        self._reloads = Reloads()
        self._ended: set[TopicPartition] = set()
        self._quiet = True
        self._patience = limits.revoke_timeout
        self._consumer: Consumer

    def attach(self, consumer: Consumer) -> None:
        """The consumer whose listener this owner is."""
        self._consumer = consumer

    # -- the turn ----------------------------------------------------------------------------

    def turn(self) -> None:
        """Merge what workers finished, take new records, start slices, commit what is due.

        Waits only after a turn in which nothing happened: for a worker while something runs,
        else for the broker, which answers at once when a record comes.

        Raises:
            BrokerUnavailableError: what the consumer raised.
        """
        wait = self._quiet and bool(self.scheduler.running)
        merged = self._merge(BUSY_WAIT if wait else 0)
        self._quiet = self._quiet and not merged
        if self._waits_for_acks:
            self._outbox.poll()
        if not self.stopping and (self._undeliverable or self._reloads.pending):
            self._reload()
        taken = self._poll()
        started = self._start()
        self._commit_when_due()
        self._quiet = not (merged or taken or started)

    def _merge(self, wait: float) -> bool:
        merged = False
        for piece in self._workers.collect(wait):
            merged = True
            if piece.fatal is not None:
                self.fatal = self.fatal or piece.fatal
                self.stop()
            self.scheduler.finish(piece, self._clock(), self._outbox.keep)
        return merged

    def _poll(self) -> bool:
        now = self._clock()
        limit = 0 if self.stopping else self._intake.limit(self._generations, now)
        self._pause_and_resume(now)
        if not limit:
            if not self._intake.must_serve(now):
                return False
            limit = 0 if self.stopping else self._intake.peek()
        batches = self._consumer.poll(limit, self._wait(now))
        for partition, records in batches:
            generation = self.scheduler.generations.get(partition)
            if generation is not None:
                self._ended.discard(partition)
                self.scheduler.accept(generation, records)
        return bool(batches)

    def _wait(self, now: float) -> float:
        """How long the broker may keep us: not at all while something else could happen."""
        if not self._quiet or self.scheduler.running or self._waits_for_acks or self.stopping:
            return 0
        timer = self.scheduler.next_timer()
        until = self._next_commit if timer is None else min(timer, self._next_commit)
        return max(0.0, min(IDLE_WAIT, until - now))

    def _pause_and_resume(self, now: float) -> None:
        for generation in self._intake.to_pause(self._generations, now):
            self._consumer.pause(generation.partition)
        for generation in self._intake.to_resume():
            if self.scheduler.is_current(generation):
                self._consumer.resume(generation.partition)

    def _start(self) -> bool:
        if self.stopping:
            return False
        self.scheduler.wake(self._clock())
        self._take_backlogs()
        started = False
        for kind in self.scheduler.kinds:
            execution = self._workers.execution(kind)
            slices = self.scheduler.start(kind, execution.free)
            if slices:
                started = True
                for piece in slices:
                    self._events.started(piece)
                execution.start(slices)
        return started

    def _take_backlogs(self) -> None:
        """Register what has room now; says once that a map is full, and whose record it is."""
        for generation in self._generations:
            if generation.backlog:
                self.scheduler.accept(generation, ())
                if generation.backlog and not generation.full:
                    self._events.full(generation, self.scheduler.holder(generation))
            generation.full = bool(generation.backlog)

    @property
    def _generations(self) -> Iterable[Generation]:
        return self.scheduler.generations.values()

    # -- commits -----------------------------------------------------------------------------

    def _commit_when_due(self) -> None:
        now = self._clock()
        if now < self._next_commit:
            return
        self._next_commit = now + self._limits.commit_interval
        self._harvest(self.scheduler.running)
        commits = self._committer.freeze(self._generations, now)
        if commits:
            self._consumer.commit(commits)

    def _harvest(self, pieces: Iterable[Slice]) -> None:
        for piece in pieces:
            self.scheduler.harvest(piece, self._outbox.keep)

    def _commit_last(self, generations: Sequence[Generation]) -> None:
        """What these generations got done, before they end."""
        commits = self._committer.freeze_last(generations)
        if commits:
            result = self._consumer.commit_now(commits, self._limits.revoke_timeout)
            self._committer.answered_last(result)

    # -- the end -----------------------------------------------------------------------------

    def stop(self) -> None:
        """Start nothing more; what runs may end. Turns go on until `drained`."""
        self.stopping = True
        for generation in self._generations:
            generation.stop()

    def close(self) -> None:
        """Commit what is done and leave the group; handlers that still run are not waited for."""
        self.stop()
        self._patience = 0.0
        self._harvest(self.scheduler.running)
        self._commit_last(list(self._generations))
        self._consumer.close()

    @property
    def drained(self) -> bool:
        """Nothing runs, and all that was emitted is acknowledged."""
        return not self.scheduler.running and not self._waits_for_acks

    @property
    def _waits_for_acks(self) -> bool:
        return any(generation.emitting for generation in self._generations)

    @property
    def idle(self) -> bool:
        """Every assigned partition is read to its end, settled, and committed."""
        return (
            self.drained
            and not self._reloads.pending
            and all(
                generation.partition in self._ended
                and not generation.ledger.pending
                and not generation.backlog
                and not generation.dirty
                for generation in self._generations
            )
        )

    # -- emitted records ---------------------------------------------------------------------

    def _acknowledged(self, generation: Generation, record: Record) -> None:
        if self.scheduler.is_current(generation):
            self.scheduler.complete(generation, (record.offset,))

    def _undelivered(self, generation: Generation, record: Record, error: str) -> None:
        """Later records of the same key may have run already: only reading the partition again
        from its last commit brings them back in order.
        """
        if self.scheduler.is_current(generation) and generation not in self._undeliverable:
            self._events.undelivered(generation, record, error)
            self._undeliverable[generation] = None

    def _reload(self) -> None:
        """Give up generations whose emits did not arrive, and read again those whose pause is
        over.
        """
        now = self._clock()
        for generation in self._undeliverable:
            if self.scheduler.is_current(generation):
                self._end(generation, lost=False)
                self._consumer.pause(generation.partition)
                self._reloads.request(generation.partition, now)
        self._undeliverable.clear()
        for partition in self._reloads.take_due(now):
            assigned = self._consumer.rewind(partition)
            self._consumer.resume(partition)
            if assigned is not None:
                self.on_assigned([assigned])

    # -- the group's decisions (Listener) ----------------------------------------------------

    def on_assigned(self, assigned: Sequence[Assigned]) -> None:
        self.joined = True
        for each in assigned:
            generation = self.scheduler.assign(each.partition, each.offset, self._completed(each))
            if self.stopping:
                generation.stop()
            self._events.assigned(generation)

    def _completed(self, assigned: Assigned) -> Runs:
        if not assigned.metadata:
            return ()
        try:
            return completion_map.decode(assigned.committed, assigned.metadata).runs
        except UnreadableMetadataError as error:
            self._events.unreadable(assigned.partition, assigned.committed, str(error))
            return ()

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        generations = self._known(partitions)
        for generation in generations:
            generation.revoke()
            self._events.revoking(generation)
        self._wait_for(generations)
        self._commit_last(generations)
        for generation in generations:
            self._end(generation, lost=False)
        self._forget(partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        for generation in self._known(partitions):
            self._end(generation, lost=True)
        self._forget(partitions)

    def on_committed(self, result: CommitResult) -> None:
        self._committer.answered(result)
        if result.error is not None:
            self._next_commit = min(self._next_commit, self._clock() + self._commit_again)
            self._commit_again *= 2
        else:
            self._commit_again = COMMIT_AGAIN
            for commit in result.commits:
                self._reloads.succeeded(commit.partition)

    def on_end(self, partition: TopicPartition) -> None:
        self._ended.add(partition)

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._reloads.forget(partition)

    def _known(self, partitions: Sequence[TopicPartition]) -> list[Generation]:
        known = self.scheduler.generations
        return [known[partition] for partition in partitions if partition in known]

    def _wait_for(self, generations: Sequence[Generation]) -> None:
        """Give running records a bounded time; the other partitions go on meanwhile."""
        deadline = self._clock() + self._patience
        while self._busy(generations) and self._clock() < deadline:
            self._merge(BUSY_WAIT)
            self._outbox.poll()
            self._start()
        self._harvest(self.scheduler.running)

    def _busy(self, generations: Sequence[Generation]) -> bool:
        return any(piece.generation in generations for piece in self.scheduler.running) or any(
            generation.emitting for generation in generations
        )

    def _end(self, generation: Generation, lost: bool) -> None:
        self.scheduler.drop(generation)
        self._committer.forget(generation)
        if self._intake.forget(generation):
            self._consumer.resume(generation.partition)
        self._ended.discard(generation.partition)
        self._events.revoked(generation, lost)
