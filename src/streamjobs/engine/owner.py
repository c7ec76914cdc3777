"""The owner: the one thread that owns all partition state. Here is its turn, not its thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from streamjobs.broker.ports import (
    Assigned,
    CommitResult,
    Consumer,
    Delivery,
    Listener,
    Producer,
    Reader,
    TopicPartition,
)
from streamjobs.engine.checkpoint import Checkpoint
from streamjobs.engine.checkpoints import Checkpoints
from streamjobs.engine.commits import Commits, PlainCommits
from streamjobs.engine.completion_map import Runs
from streamjobs.engine.due import Due
from streamjobs.engine.events import Events, Fanout
from streamjobs.engine.fuses import Fuses
from streamjobs.engine.generation import Generation
from streamjobs.engine.keeping import Keeping
from streamjobs.engine.ledger import Frozen
from streamjobs.engine.limits import Limits
from streamjobs.engine.notes import Notes
from streamjobs.engine.outbox import Outbox
from streamjobs.engine.poller import Poller
from streamjobs.engine.ports import Workers
from streamjobs.engine.quarantine import Quarantine
from streamjobs.engine.refusals import Refusals
from streamjobs.engine.reloads import Reloads
from streamjobs.engine.rereader import Rereader
from streamjobs.engine.route import Route
from streamjobs.engine.scheduler import Scheduler
from streamjobs.engine.sinks import NoSinks, Sinks
from streamjobs.engine.stalls import Stalls
from streamjobs.engine.starter import Starter
from streamjobs.engine.succession import Succession, after_death
from streamjobs.engine.troubles import Burial
from streamjobs.errors import BrokerUnavailableError
from streamjobs.record import Record

__all__ = ("Limits", "Owner")

BUSY_WAIT: Final = 0.001
"""Seconds to wait for a worker before asking the broker again, while something runs."""

IDLE_WAIT: Final = 0.05
"""Seconds to wait for the broker while nothing runs; it answers at once when a record comes."""


class Owner(Listener):
    """Polls, dispatches, merges and commits, a turn at a time.

    Args:
        routes: by topic.
        workers: what runs the handlers.
        producer: for what handlers emit.
        clock: monotonic seconds.
        limits: see `Limits`.
        events: told about everything that happens.
        keeping: what is kept for partitions outside of the process.
        checkpoint: commits in transactions, with state and what is emitted; None for plain commits.
        open_reader: for records that have to be read again; called when it is first needed.
        wall: seconds since the epoch.
        sinks: where results go outside of Kafka.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        workers: Workers,
        producer: Producer,
        clock: Callable[[], float],
        limits: Limits,
        events: Events,
        keeping: Keeping,
        checkpoint: Checkpoint | None,
        open_reader: Callable[[], Reader],
        wall: Callable[[], float] = time.time,
        sinks: Sinks | None = None,
    ) -> None:
        self.fuses = Fuses(routes, clock)
        if self.fuses:
            events = Fanout(events, self.fuses)
        self._sinks = sinks or NoSinks()
        self.scheduler = Scheduler(routes, events, wall, limits.window_records, self._sinks)
        self.joined = False
        self.stopping = False
        self.fatal: BaseException | None = None
        self._workers = workers
        self._clock = clock
        self._limits = limits
        self._events = events
        self._refusals = Refusals()
        self._outbox = Outbox(producer, self._acknowledged, self._undelivered, self._refusals)
        self._poller = Poller(self.scheduler, limits)
        self._aborting = False
        self._reloads = Reloads()
        self._stalls = Stalls(self.scheduler.usual_seconds, limits.stall_after)
        self._keeping = keeping
        self._group: object | None = None
        self._emits_in_transaction = any(route.transactional for route in routes.values())
        self._due = Due(limits, clock())
        self._has_checkpoints = checkpoint is not None
        self._commits = self._commits_with(checkpoint, limits.revoke_timeout)
        self._rereader = Rereader(open_reader, self.scheduler, limits.window_records)
        self._quarantine = Quarantine(self.scheduler, self._rereader.end_of)
        self._starter = Starter(
            self.scheduler, workers, self.fuses, self._quarantine, self._due, events
        )
        self._ending: Sequence[Generation] = ()
        self._succession = Succession(
            events, self._refusals, self._quarantine, limits.suspect_after
        )
        self._quiet = True
        self._patience = limits.revoke_timeout
        self._consumer: Consumer

    def _commits_with(self, checkpoint: Checkpoint | None, timeout: float) -> Commits:
        if checkpoint is None:
            return PlainCommits(
                self.scheduler,
                self._outbox,
                self._due,
                self._clock,
                self._events,
                timeout,
                self._flush_sinks,
            )
        return Checkpoints(
            checkpoint,
            self.scheduler,
            self._outbox,
            self._due,
            self._clock,
            self._emits_in_transaction,
            lambda: self._group,
            self._committed,
            self._abort,
            self._flush_sinks,
        )

    def attach(self, consumer: Consumer) -> None:
        """The consumer whose listener this owner is."""
        self._consumer = consumer
        self._poller.attach(consumer)
        self._commits.attach(consumer)

    # -- the turn ----------------------------------------------------------------------------

    def turn(self) -> None:
        """Merge what workers finished, take new records, start slices, commit what is due.

        Waits only after a turn in which nothing happened: for a worker while something runs,
        else for the broker, which answers at once when a record comes.

        Raises:
            BrokerUnavailableError: what the consumer raised.
        """
        wait = self._quiet and bool(self.scheduler.running)
        merged = self._commits.may_merge and self._merge(BUSY_WAIT if wait else 0)
        self._quiet = self._quiet and not merged
        if self.scheduler.emitting:
            self._outbox.poll()
        if not self.stopping:
            self._reload()
        self._keeping.turn(self.scheduler)
        taken = self._poll() or self._rereader.turn(self._clock())
        taken = self._poller.align(self._clock()) or taken
        started = self._start()
        for piece, seconds in self._stalls.look(self.scheduler.running, self._clock()):
            self._events.stalled(piece, seconds)
        self._commits.turn(self._clock())
        self._quiet = not (merged or taken or started)

    def _merge(self, wait: float) -> bool:
        merged = False
        for piece in self._workers.collect(wait):
            merged = True
            self._stop_for(piece.fatal)
            self.scheduler.finish(piece, self._clock(), self._outbox.keep)
            self._due.count(piece.progress)
            self._stop_for(self.scheduler.troubles.fatal)
        self._bury()
        return merged

    def _stop_for(self, fatal: BaseException | None) -> None:
        if fatal is not None and self.fatal is None:
            self.fatal = fatal
            self.stop()

    def _bury(self) -> None:
        for burial in self.scheduler.troubles.take_burials():
            if self.scheduler.is_current(burial.generation):
                self._outbox.bury(burial, self._buried)

    def _buried(self, burial: Burial, delivery: Delivery) -> None:
        if delivery.error is None:
            self.scheduler.buried(burial, delivery.offset, self._outbox.keep)
        else:
            self.scheduler.unburied(burial, delivery.error, self._clock())

    def _poll(self) -> bool:
        now = self._clock()
        return self._poller.turn(self._wait(now), now, takes=not self.stopping)

    def _wait(self, now: float) -> float:
        """How long the broker may keep us: not at all while something else could happen."""
        if not self._quiet or self.scheduler.running or self.scheduler.emitting or self.stopping:
            return 0
        if self._rereader.busy or self._commits.under_way:
            return BUSY_WAIT
        timer = self.scheduler.next_timer()
        until = self._due.at if timer is None else min(timer, self._due.at)
        return max(0.0, min(IDLE_WAIT, until - now))

    def _start(self) -> bool:
        if self.stopping:
            return False
        self.scheduler.wake(self._clock())
        self._bury()
        return self._starter.turn(self._clock())

    @property
    def _generations(self) -> Collection[Generation]:
        return self.scheduler.generations.values()

    # -- what goes wrong ---------------------------------------------------------------------

    def _abort(self, reason: str, pause: float | None = None) -> None:
        """Nothing since the last commit is seen, so everything is read again from there."""
        self._aborting = True  # what it emitted comes back as undelivered, and is no news
        try:
            self._commits.abort()
        finally:
            self._aborting = False
        self._events.aborted(reason)
        self._group = self._consumer.group_metadata()
        self._give_up_all(list(self._generations), pause)

    def _flush_sinks(self) -> Collection[Generation]:
        """What was merged is outside before its progress is committed. Returns those of which it is
        not: they are read again.
        """
        unflushed = self._sinks.flush()
        if unflushed is None:
            return ()
        if self._has_checkpoints:
            self._abort(unflushed.reason, unflushed.pause)
        else:
            self._give_up_all(unflushed.generations, unflushed.pause)
        return unflushed.generations

    def _give_up_all(self, generations: Iterable[Generation], pause: float | None) -> None:
        for generation in generations:
            if generation in self._ending:  # what it has done must not go into a later commit
                generation.doomed = True
                self._outbox.forget(generation)
            elif self.scheduler.is_current(generation):
                self._give_up(generation, pause)

    def _give_up(self, generation: Generation, pause: float | None = None) -> None:
        """End a generation, to begin another one from the last commit after a pause."""
        if self._refusals.take_news():
            self._reloads.forgive()
        self._events.before_revoke(generation)
        self._end(generation, lost=False)
        self._consumer.pause(generation.partition)
        self._reloads.request(
            generation.partition, self._clock(), generation.ledger.frontier, pause
        )

    def _committed(self, frozen: Mapping[Generation, Frozen]) -> None:
        for generation, progress in frozen.items():
            generation.committed = progress
            self._reloads.succeeded(generation.partition, progress.frontier)
        self._events.after_commit(frozen)
        self._open_those_committed()

    def _open_those_committed(self) -> None:
        for generation in self._generations:
            if "opening" in generation.gates and generation.committed is not None:
                self.scheduler.open_gate(generation, "opening")

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
        self._ending = list(self._generations)
        with ExitStack() as last:  # in reverse, whatever one of them raises
            last.callback(self._keeping.close)
            last.callback(self._commits.close)
            last.callback(self._rereader.close)
            last.callback(self._consumer.close)
            self.scheduler.harvest_all(self._outbox.keep)
            self._keeping.save_last_cursors(self._ending, self._limits.revoke_timeout)
            self._commits.last(self._ending)

    @property
    def drained(self) -> bool:
        """Nothing runs, and all that was emitted is acknowledged."""
        return not self.scheduler.running and not self.scheduler.emitting

    @property
    def idle(self) -> bool:
        """Every assigned partition is read to its end, settled, and committed."""
        return (
            self.drained
            and not self._reloads.pending
            and not self._commits.under_way
            and all(
                generation.partition in self._poller.ended
                and not generation.ledger.pending
                and not generation.backlog
                and not generation.unaligned
                and not generation.dirty
                for generation in self._generations
            )
        )

    # -- emitted records ---------------------------------------------------------------------

    def _acknowledged(self, generation: Generation, offsets: Sequence[int]) -> None:
        if self.scheduler.is_current(generation):
            self.scheduler.complete(generation, offsets)

    def _undelivered(self, generation: Generation, record: Record, error: str) -> None:
        """Later records of the same key may have run already: only reading the partition again
        from its last commit brings them back in order.
        """
        if self._aborting:
            return
        if self.scheduler.is_current(generation) and not generation.doomed:
            self._events.undelivered(generation, record, error)
            for each in self.scheduler.company(generation):
                each.doomed = True

    def _reload(self) -> None:
        """Give up generations whose emits did not arrive, and read again those whose pause is
        over. What a checkpoint has cut is sound: those in it wait until it is through.
        """
        if not self._commits.under_way:
            for generation in [each for each in self._generations if each.doomed]:
                if self._emits_in_transaction:
                    self._abort("a record was not delivered")
                    break
                self._commits.save(generation)
                if self.scheduler.is_current(generation):
                    self._give_up(generation)
        due = self._reloads.take_due(self._clock())
        while due:
            try:
                self._commits.prepare_to_rewind()
                assigned = self._consumer.rewind(due[-1])
            except BrokerUnavailableError:
                break  # it took long enough: nobody polls meanwhile
            self._consumer.resume(due.pop())
            if assigned is not None:
                self._adopt(assigned, *self._succession.read(assigned), died=False)
        for partition in due:
            self._reloads.postpone(partition, self._clock())

    # -- the group's decisions (Listener) ----------------------------------------------------

    def on_assigned(self, assigned: Sequence[Assigned]) -> None:
        self.joined = True
        self._group = self._consumer.group_metadata()
        for each in assigned:
            runs, notes = self._succession.read(each)
            died = self._succession.died(each, notes)
            self._adopt(each, runs, after_death(notes) if died else notes, died)

    def _adopt(self, assigned: Assigned, runs: Runs, notes: Notes, died: bool) -> None:
        self._events.before_assign(assigned.partition)
        generation = self.scheduler.assign(assigned.partition, assigned.offset, runs, notes)
        if self.stopping:
            generation.stop()
        self._events.after_assign(generation)
        self._succession.begin(generation, notes, died)
        self.scheduler.close_gate(generation, "opening")
        self._keeping.load(generation, self.scheduler)
        generation.dirty = True
        self._due.soon(self._clock())

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._group = self._consumer.group_metadata()
        generations = self._ending = self._known(partitions)
        for generation in generations:
            generation.revoke()
            self._events.before_revoke(generation)
        try:
            self._wait_for(generations)
            for generation in generations:
                self._cancel(generation)
            self._keeping.save_last_cursors(generations, self._limits.revoke_timeout)
            self._commits.last(generations)
        finally:  # whatever goes wrong, they are not ours any more
            self._ending = ()
            for generation in generations:
                self._end(generation, lost=False)
            self._forget(partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        self._commits.flush()
        for generation in self._known(partitions):
            self._succession.lost(generation)
            self._events.before_revoke(generation)
            self._cancel(generation)
            self._end(generation, lost=True)
        self._forget(partitions)
        self._commits.lost()

    def on_committed(self, result: CommitResult) -> None:
        self._commits.answered(result)
        if result.error is None:
            for commit in result.commits:
                self._reloads.succeeded(commit.partition, commit.offset)
            self._open_those_committed()

    def on_end(self, partition: TopicPartition) -> None:
        self._poller.ended.add(partition)

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._reloads.forget(partition)
            self._keeping.leave(partition)
            self._refusals.forget(partition)

    def _known(self, partitions: Sequence[TopicPartition]) -> list[Generation]:
        known = self.scheduler.generations
        return [known[partition] for partition in partitions if partition in known]

    def _wait_for(self, generations: Sequence[Generation]) -> None:
        """Give running records a bounded time; the other partitions go on meanwhile."""
        deadline = self._clock() + self._patience
        while self._busy(generations) and self._clock() < deadline:
            self._merge(BUSY_WAIT)
            self._outbox.poll()
            self._commits.go_on()
            self._start()
        self.scheduler.harvest_all(self._outbox.keep)

    def _cancel(self, generation: Generation) -> None:
        """What still runs has had its time: nothing of it will be kept."""
        generation.revoke()
        for piece in self.scheduler.running:
            if piece.generation is generation:
                self._workers.cancel(piece)

    def _busy(self, generations: Sequence[Generation]) -> bool:
        sound = [generation for generation in generations if not generation.doomed]
        return any(piece.generation in sound for piece in self.scheduler.running) or any(
            generation.emitting for generation in sound
        )

    def _end(self, generation: Generation, lost: bool) -> None:
        self.scheduler.drop(generation)
        self._rereader.forget(generation)
        self._keeping.forget(generation)
        self._sinks.forget(generation)
        self._commits.forget(generation)
        self._outbox.forget(generation)
        self._poller.forget(generation)
        self._events.after_revoke(generation, lost)
