"""The owner: the one thread that owns all partition state. Here is its turn, not its thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
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
from streamjobs.engine import completion_map
from streamjobs.engine.checkpoint import Checkpoint
from streamjobs.engine.committer import Committer
from streamjobs.engine.completion_map import Runs, UnreadableMetadataError
from streamjobs.engine.events import Events, Fanout
from streamjobs.engine.fuses import Fuses
from streamjobs.engine.generation import Generation
from streamjobs.engine.intake import Intake
from streamjobs.engine.keeping import Keeping
from streamjobs.engine.ledger import Frozen
from streamjobs.engine.notes import Notes, read_notes
from streamjobs.engine.outbox import Outbox
from streamjobs.engine.ports import Execution, Workers
from streamjobs.engine.quarantine import Quarantine
from streamjobs.engine.refusals import Refusals
from streamjobs.engine.reloads import Reloads
from streamjobs.engine.rereader import Rereader
from streamjobs.engine.route import Route
from streamjobs.engine.scheduler import Scheduler
from streamjobs.engine.slices import Slice
from streamjobs.engine.stalls import Stalls
from streamjobs.engine.troubles import Burial
from streamjobs.errors import BrokerUnavailableError, PoisonRecordError, TransactionError
from streamjobs.record import Record

__all__ = ("Limits", "Owner")

BUSY_WAIT: Final = 0.001
"""Seconds to wait for a worker before asking the broker again, while something runs."""

IDLE_WAIT: Final = 0.05
"""Seconds to wait for the broker while nothing runs; it answers at once when a record comes."""

ACKNOWLEDGED_WITHIN: Final = 10.0
"""Seconds in which what a checkpoint emitted has to arrive."""

CONVICTED_AFTER: Final = 2
"""Processes that have to die while a record runs alone: one could have been killed from outside."""

LAST_ACKNOWLEDGED_WITHIN: Final = 5.0
"""The same when partitions go away, where the whole group waits for it."""

ACKNOWLEDGE_STEP: Final = 0.01

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
        commit_bytes: changes of state in memory, after which a commit does not wait for its time.
        stall_after: seconds that an attempt may run before it can count as stalled.
        suspect_after: how many owners in a row have to die at the same frontier before the
            records there run alone; 0 for never.
    """

    window_records: int = 10_000
    window_bytes: int = 64 * 1024 * 1024
    commit_interval: float = 1.0
    revoke_timeout: float = 10.0
    commit_bytes: int = 32 * 1024 * 1024
    stall_after: float = 30.0
    suspect_after: int = 3


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
    ) -> None:
        self.fuses = Fuses(routes, clock)
        if self.fuses:
            events = Fanout(events, self.fuses)
        self.scheduler = Scheduler(routes, events, wall, limits.window_records)
        self.joined = False
        self.stopping = False
        self.fatal: BaseException | None = None
        self._workers = workers
        self._clock = clock
        self._limits = limits
        self._events = events
        self._refusals = Refusals()
        self._outbox = Outbox(producer, self._acknowledged, self._undelivered, self._refusals)
        self._committer = Committer(events)
        self._intake = Intake(limits.window_records, limits.window_bytes)
        self._next_commit = clock() + limits.commit_interval
        self._commit_again = COMMIT_AGAIN
        self._undeliverable: dict[Generation, None] = {}
        self._aborting = False
        self._reloads = Reloads()
        self._stalls = Stalls(self.scheduler.usual_seconds, limits.stall_after)
        self._keeping = keeping
        self._checkpoint = checkpoint
        self._group: object | None = None
        self._cut_since: float | None = None
        self._emits_in_transaction = any(route.transactional for route in routes.values())
        self._rereader = Rereader(open_reader, self.scheduler, limits.window_records)
        self._quarantine = Quarantine(self.scheduler, self._rereader.end_of)
        self._ended: set[TopicPartition] = set()
        self._lost: dict[TopicPartition, Frozen | None] = {}
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
        merged = self._cut_since is None and self._merge(BUSY_WAIT if wait else 0)
        self._quiet = self._quiet and not merged
        if self._waits_for_acks:
            self._outbox.poll()
        if not self.stopping and (self._undeliverable or self._reloads.pending):
            self._reload()
        self._keeping.turn(self.scheduler)
        taken = self._poll() or self._rereader.turn(self._clock())
        started = self._start()
        for piece, seconds in self._stalls.look(self.scheduler.running, self._clock()):
            self._events.stalled(piece, seconds)
        self._commit_when_due()
        self._quiet = not (merged or taken or started)

    def _merge(self, wait: float) -> bool:
        merged = False
        for piece in self._workers.collect(wait):
            merged = True
            self._stop_for(piece.fatal)
            self.scheduler.finish(piece, self._clock(), self._outbox.keep)
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
        limit = 0 if self.stopping else self._intake.limit(self._generations, now)
        self._pause_and_resume(now)
        if not limit:
            # Nothing starts before the answer to the opening commit was served.
            if not self._is_opening and not self._intake.must_serve(now):
                return False
            limit = 0 if self.stopping else self._intake.peek()
        batches = self._consumer.poll(limit, self._wait(now))
        for partition, records in batches:
            generation = self.scheduler.generations.get(partition)
            if generation is not None:
                self._ended.discard(partition)
                self.scheduler.accept(generation, records, now)
        return bool(batches)

    @property
    def _is_opening(self) -> bool:
        return not self.stopping and any("opening" in each.gates for each in self._generations)

    def _wait(self, now: float) -> float:
        """How long the broker may keep us: not at all while something else could happen."""
        if not self._quiet or self.scheduler.running or self._waits_for_acks or self.stopping:
            return 0
        if self._rereader.busy:
            return BUSY_WAIT
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
        self._bury()
        if self.fuses:
            self._heed_fuses()
        self._take_backlogs()
        if self._quarantine.is_on(self._generations, self._clock()):
            return self._start_alone()
        started = False
        for kind in self.scheduler.kinds:
            execution = self._workers.execution(kind)
            slices = self.scheduler.start(kind, execution.free)
            if slices:
                started = True
                self._hand_over(execution, slices)
        return started

    def _heed_fuses(self) -> None:
        """Stop partitions whose breaker has opened, and let go on those whose breaker closed."""
        self.fuses.close_due()
        for generation in self._generations:
            fuse = self.fuses.of(generation.partition.topic)
            if fuse is not None and "breaker" not in generation.gates:
                self.scheduler.close_gate(generation, "breaker")
                self._events.breaker_opened(generation, fuse.died, fuse.ended)
            elif fuse is None and "breaker" in generation.gates:
                self._events.breaker_closed(generation)
                self.scheduler.open_gate(generation, "breaker")

    def _start_alone(self) -> bool:
        piece = self._quarantine.turn(self._generations)
        if piece is None:
            self._next_commit = self._clock()  # which it may wait for
            return False
        self._hand_over(self._workers.execution(piece.generation.route.execution), [piece])
        return True

    def _hand_over(self, execution: Execution, slices: Sequence[Slice]) -> None:
        for piece in slices:
            self._events.started(piece)
        execution.start(slices)

    def _take_backlogs(self) -> None:
        """Register what has room now; says once that a map is full, and whose record it is."""
        for generation in self._generations:
            frontier = generation.ledger.frontier
            if generation.backlog and generation.full_at != frontier:
                is_news, generation.full_at = generation.full_at is None, frontier
                self.scheduler.accept(generation, (), self._clock())
                if generation.backlog and is_news:
                    self._events.full(generation, self.scheduler.holder(generation))
            if not generation.backlog:
                generation.full_at = None

    @property
    def _generations(self) -> Collection[Generation]:
        return self.scheduler.generations.values()

    # -- commits -----------------------------------------------------------------------------

    def _commit_when_due(self) -> None:
        now = self._clock()
        if now < self._next_commit and not self._has_much_to_commit:
            return
        if self._checkpoint is not None:
            self._checkpoint_when_acknowledged(now)
            return
        self._next_commit = now + self._limits.commit_interval
        self._harvest(self.scheduler.running)
        commits = self._committer.freeze(self._generations, now)
        if commits:
            self._events.before_commit(commits)
            self._consumer.commit(commits)

    # -- checkpoints -------------------------------------------------------------------------

    @property
    def _has_much_to_commit(self) -> bool:
        """State that waits in memory is not let grow until the interval is over."""
        return self._checkpoint is not None and any(
            cache.bytes > self._limits.commit_bytes
            for generation in self._generations
            for cache in generation.stores.values()
        )

    def _checkpoint_when_acknowledged(self, now: float) -> None:
        """The cut is what is merged now: nothing more is, until all that it emitted has arrived.
        Handlers run on meanwhile.
        """
        if self._cut_since is None:
            self._harvest(self.scheduler.running)
            self._cut_since = now
        if self._waits_for_acks and now - self._cut_since < ACKNOWLEDGED_WITHIN:
            return
        self._cut_since = None
        self._next_commit = now + self._limits.commit_interval
        if self._waits_for_acks:
            self._abort("what was emitted is not acknowledged")
        elif not (self._undeliverable and self._emits_in_transaction):
            self._commit_all()

    def _commit_all(self, ending: Sequence[Generation] = ()) -> bool:
        """One transaction for everything that is merged; says whether it was committed."""
        assert self._checkpoint is not None
        sound = [each for each in self._generations if each not in self._undeliverable]
        try:
            frozen = self._checkpoint.commit(sound, self._group, ending)
        except TransactionError as error:
            self._abort(str(error), ending)
            return False
        for generation, progress in frozen.items():
            generation.committed = progress
            self._reloads.succeeded(generation.partition)
        if frozen:
            self._events.after_commit(frozen)
        self._open_those_committed()
        return True

    def _abort(self, reason: str, ending: Sequence[Generation] = ()) -> None:
        """Nothing since the last commit is seen, so everything is read again from there."""
        assert self._checkpoint is not None
        self._aborting = True  # what it emitted comes back as undelivered, and is no news
        try:
            self._checkpoint.abort()
        finally:
            self._aborting = False
        self._events.aborted(reason)
        self._group = self._consumer.group_metadata()
        for generation in list(self._generations):
            if generation not in ending:
                self._give_up(generation)
        # What those that end have done is undone, too: it must not go into a later commit.
        self._undeliverable = dict.fromkeys(ending)

    def _commit_sound(self, generation: Generation) -> None:
        """What got done in it is not to be done again."""
        if self._checkpoint is None:
            self._harvest(
                [each for each in self.scheduler.running if each.generation is generation]
            )
            self._commit_last([generation])

    def _give_up(self, generation: Generation) -> None:
        """End a generation, to begin another one from the last commit after a pause."""
        if self._refusals.take_news():
            self._reloads.forgive()
        self._events.before_revoke(generation)
        self._end(generation, lost=False)
        self._consumer.pause(generation.partition)
        self._reloads.request(generation.partition, self._clock())

    def _open_those_committed(self) -> None:
        for generation in self._generations:
            if "opening" in generation.gates and generation.committed is not None:
                self.scheduler.open_gate(generation, "opening")

    def _harvest(self, pieces: Iterable[Slice]) -> None:
        for piece in pieces:
            self.scheduler.harvest(piece, self._outbox.keep)

    def _wait_for_acks(self) -> None:
        """All that is merged commits together: what the partitions that stay emitted, too. Nothing
        more is merged meanwhile.
        """
        for _ in range(int(LAST_ACKNOWLEDGED_WITHIN / ACKNOWLEDGE_STEP)):
            if not self._waits_for_acks:
                return
            self._outbox.poll(ACKNOWLEDGE_STEP)

    def _commit_last(self, generations: Sequence[Generation]) -> None:
        """What these generations got done, before they end."""
        if self._checkpoint is not None:
            self._wait_for_acks()
            if not self._waits_for_acks and not (
                self._undeliverable and self._emits_in_transaction
            ):
                self._commit_all(generations)
            else:
                self._abort("what was emitted is not acknowledged", generations)
            return
        commits = self._committer.freeze_last(generations)
        if commits:
            self._events.before_commit(commits)
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
        with ExitStack() as last:  # in reverse, whatever one of them raises
            last.callback(self._keeping.close)
            if self._checkpoint is not None:
                last.callback(self._checkpoint.close)
            last.callback(self._rereader.close)
            last.callback(self._consumer.close)
            self._harvest(self.scheduler.running)
            self._keeping.save_last_cursors(self._generations, self._limits.revoke_timeout)
            self._commit_last(list(self._generations))

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
        if self._aborting:
            return
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
                if self._emits_in_transaction:
                    self._abort("a record was not delivered")
                    break
                self._commit_sound(generation)
                self._give_up(generation)
        self._undeliverable.clear()
        due = self._reloads.take_due(now)
        while due:
            try:
                if self._checkpoint is not None:
                    self._checkpoint.start()  # what is still open holds the offsets
                assigned = self._consumer.rewind(due[-1])
            except BrokerUnavailableError:
                break  # it took long enough: nobody polls meanwhile
            self._consumer.resume(due.pop())
            if assigned is not None:
                self._adopt(assigned, *self._read_metadata(assigned), died=False)
        for partition in due:
            self._reloads.request(partition, self._clock())

    # -- the group's decisions (Listener) ----------------------------------------------------

    def on_assigned(self, assigned: Sequence[Assigned]) -> None:
        self.joined = True
        self._group = self._consumer.group_metadata()
        for each in assigned:
            runs, notes = self._read_metadata(each)
            died = each.committed >= 0 and not notes.closed and not self._was_ours(each)
            self._adopt(each, runs, _after_death(notes) if died else notes, died)

    def _adopt(self, assigned: Assigned, runs: Runs, notes: Notes, died: bool) -> Generation:
        self._events.before_assign(assigned.partition)
        generation = self.scheduler.assign(assigned.partition, assigned.offset, runs, notes)
        if self.stopping:
            generation.stop()
        self._events.after_assign(generation)
        generation.refused.update(
            self._refusals.convicted(assigned.partition, generation.ledger.frontier)
        )
        enough = self._limits.suspect_after
        if died and notes.lonely_deaths >= CONVICTED_AFTER:
            self._convict(generation, notes.accused)
        elif enough and (notes.lonely_deaths or notes.ends >= enough):
            self._events.suspected(generation, notes.ends)
            self._quarantine.admit(generation)
        self.scheduler.close_gate(generation, "opening")
        self._keeping.load(generation, self.scheduler)
        generation.dirty = True
        self._next_commit = self._clock()
        return generation

    def _was_ours(self, assigned: Assigned) -> bool:
        """Whether nobody has owned this partition since it was lost here, where nobody died."""
        last = self._lost.pop(assigned.partition, None)
        return last is not None and last == (assigned.committed, assigned.metadata)

    def _convict(self, generation: Generation, offset: int) -> None:
        """Processes before us died while they ran nothing but this record."""
        generation.refused[offset] = PoisonRecordError(
            "processes died again and again with it, the last ones while they ran nothing else"
        )

    def _read_metadata(self, assigned: Assigned) -> tuple[Runs, Notes]:
        if not assigned.metadata:
            return (), Notes()
        try:
            decoded = completion_map.decode(assigned.committed, assigned.metadata)
        except UnreadableMetadataError as error:
            self._events.unreadable(assigned.partition, assigned.committed, str(error))
            return (), Notes()
        return decoded.runs, read_notes(assigned.committed, decoded.fields)

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._group = self._consumer.group_metadata()
        generations = self._known(partitions)
        for generation in generations:
            generation.revoke()
            self._events.before_revoke(generation)
        try:
            self._wait_for(generations)
            for generation in generations:
                self._cancel(generation)
            self._keeping.save_last_cursors(generations, self._limits.revoke_timeout)
            self._commit_last(generations)
        finally:  # whatever goes wrong, they are not ours any more
            for generation in generations:
                self._end(generation, lost=False)
            self._forget(partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        for generation in self._known(partitions):
            self._lost[generation.partition] = generation.committed
            self._events.before_revoke(generation)
            self._cancel(generation)
            self._end(generation, lost=True)
        self._forget(partitions)
        if self._checkpoint is not None and self._checkpoint.begun:
            self._abort("partitions were lost")

    def on_committed(self, result: CommitResult) -> None:
        self._committer.answered(result)
        if result.error is not None:
            self._next_commit = min(self._next_commit, self._clock() + self._commit_again)
            self._commit_again *= 2
        else:
            self._commit_again = COMMIT_AGAIN
            for commit in result.commits:
                self._reloads.succeeded(commit.partition)
            self._open_those_committed()

    def on_end(self, partition: TopicPartition) -> None:
        self._ended.add(partition)

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
            self._start()
        self._harvest(self.scheduler.running)

    def _cancel(self, generation: Generation) -> None:
        """What still runs has had its time: nothing of it will be kept."""
        generation.revoke()
        for piece in self.scheduler.running:
            if piece.generation is generation:
                self._workers.cancel(piece)

    def _busy(self, generations: Sequence[Generation]) -> bool:
        return any(piece.generation in generations for piece in self.scheduler.running) or any(
            generation.emitting for generation in generations
        )

    def _end(self, generation: Generation, lost: bool) -> None:
        self.scheduler.drop(generation)
        self._rereader.forget(generation)
        self._keeping.forget(generation)
        self._committer.forget(generation)
        self._outbox.forget(generation)
        if self._intake.forget(generation):
            self._consumer.resume(generation.partition)
        self._ended.discard(generation.partition)
        self._events.after_revoke(generation, lost)


def _after_death(notes: Notes) -> Notes:
    """What the owner before us would have noted, had it known how it ended."""
    if notes.trial is None:
        return replace(notes, ends=notes.ends + 1)
    again = notes.trial == notes.accused
    deaths = notes.lonely_deaths + 1 if again else 1
    return replace(
        notes, ends=notes.ends + 1, trial=None, accused=notes.trial, lonely_deaths=deaths
    )
