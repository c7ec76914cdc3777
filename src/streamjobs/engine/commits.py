"""The owner's commits: when they come, and what they wait for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from streamjobs.broker.ports import CommitResult, Consumer
from streamjobs.engine.committer import Committer
from streamjobs.engine.due import Due
from streamjobs.engine.events import Events
from streamjobs.engine.generation import Generation
from streamjobs.engine.outbox import Outbox
from streamjobs.engine.scheduler import Scheduler

__all__ = ("Commits", "PlainCommits")


class Commits(Protocol):
    """Called in the owner's turns. The other way is `Checkpoints`."""

    @abstractmethod
    def attach(self, consumer: Consumer) -> None:
        """Whose partitions these are."""

    @property
    @abstractmethod
    def may_merge(self) -> bool:
        """Whether more may be merged now."""

    @property
    @abstractmethod
    def under_way(self) -> bool:
        """Whether a commit has begun that needs further turns."""

    @abstractmethod
    def turn(self, now: float) -> None:
        """Commit what is due, or go on with it."""

    @abstractmethod
    def go_on(self) -> None:
        """Go on with what is under way, and begin nothing."""

    @abstractmethod
    def last(self, generations: Sequence[Generation]) -> None:
        """Commit what these got done, before they end. Waits for it a bounded time."""

    @abstractmethod
    def save(self, generation: Generation) -> None:
        """This one is read again from its last commit: what got done in it and can be committed
        now is not to be done again.
        """

    @abstractmethod
    def prepare_to_rewind(self) -> None:
        """What is committed of a partition is about to be read.

        Raises:
            BrokerUnavailableError: nobody answered.
        """

    @abstractmethod
    def flush(self) -> None:
        """Partitions are about to be dropped that are somebody else's already: what is committed
        of them goes to their stores.
        """

    @abstractmethod
    def lost(self) -> None:
        """They were dropped: nothing of them must be committed any more."""

    @abstractmethod
    def abort(self) -> None:
        """Take back all that was written since the last commit, where that can be done."""

    @abstractmethod
    def answered(self, result: CommitResult) -> None:
        """What became of a commit that was sent with `Consumer.commit`."""

    @abstractmethod
    def forget(self, generation: Generation) -> None:
        """This generation ended."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""


class PlainCommits(Commits):
    """Offsets alone. They are sent, and an answer comes in one of the next turns.

    Args:
        scheduler: whose generations.
        outbox: takes over what running slices have done.
        due: when.
        clock: monotonic seconds.
        events: told of each commit.
        timeout: seconds for the last one.
        flush_sinks: called before each; returns those of which nothing may be committed.
    """

    may_merge = True
    under_way = False

    def __init__(
        self,
        scheduler: Scheduler,
        outbox: Outbox,
        due: Due,
        clock: Callable[[], float],
        events: Events,
        timeout: float,
        flush_sinks: Callable[[], Collection[Generation]] = tuple,
    ) -> None:
        self._scheduler = scheduler
        self._outbox = outbox
        self._committer = Committer(events)
        self._due = due
        self._clock = clock
        self._events = events
        self._timeout = timeout
        self._flush_sinks = flush_sinks
        self._unflushed: set[Generation] = set()
        self._consumer: Consumer

    def attach(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def turn(self, now: float) -> None:
        generations = self._scheduler.generations.values()
        if not self._due.is_due(generations, now):
            return
        self._due.begin(now)
        self._scheduler.harvest_all(self._outbox.keep)
        self._flush_sinks()
        commits = self._committer.freeze(generations, now)
        if commits:
            self._events.before_commit(commits)
            self._consumer.commit(commits)

    def go_on(self) -> None:
        """Nothing takes longer than a turn."""

    def last(self, generations: Sequence[Generation]) -> None:
        self._unflushed.update(self._flush_sinks())
        commits = self._committer.freeze_last(
            [each for each in generations if each not in self._unflushed]
        )
        if commits:
            self._events.before_commit(commits)
            result = self._consumer.commit_now(commits, self._timeout)
            self._committer.answered_last(result)

    def save(self, generation: Generation) -> None:
        self._scheduler.harvest_all(self._outbox.keep, generation)
        self.last([generation])

    def prepare_to_rewind(self) -> None:
        """Nothing is open."""

    def flush(self) -> None:
        """There is nothing."""

    def lost(self) -> None:
        """What is on its way says nothing of them: they were forgotten."""

    def abort(self) -> None:
        """What is written is written."""

    def answered(self, result: CommitResult) -> None:
        self._committer.answered(result)
        if result.error is None:
            self._due.succeeded()
        else:
            self._due.refused(self._clock())

    def forget(self, generation: Generation) -> None:
        self._committer.forget(generation)
        self._unflushed.discard(generation)

    def close(self) -> None:
        """There is nothing."""
