"""What the engine tells the world: the one set of hooks for logging, metrics and proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from streamjobs.broker.ports import Commit, TopicPartition
from streamjobs.record import Record

if TYPE_CHECKING:
    from streamjobs.engine.generation import Generation
    from streamjobs.engine.ledger import Frozen
    from streamjobs.engine.route import Route
    from streamjobs.engine.slices import Slice

__all__ = ("Events", "Fanout", "Observer")


class Events:
    """Override what you want to know. Called by the owner's thread; must be quick and must not
    raise. Per slice or rarer, never per record, but for what went wrong.
    """

    def before_assign(self, partition: TopicPartition) -> None:
        """A partition was given to this process."""

    def after_assign(self, generation: Generation) -> None:
        """A generation began."""

    def before_revoke(self, generation: Generation) -> None:
        """A generation is to end: nothing more starts, running records get a bounded time."""

    def after_revoke(self, generation: Generation, lost: bool) -> None:
        """A generation ended; `lost` when the partition may have had another owner already."""

    def accepted(self, generation: Generation, records: Sequence[Record]) -> None:
        """Records were read, registered and queued."""

    def started(self, piece: Slice) -> None:
        """A slice went to a worker."""

    def before_settle(self, generation: Generation, records: Sequence[Record]) -> None:
        """These records succeeded, and will be over in a moment."""

    def after_settle(self, generation: Generation, records: Sequence[Record]) -> None:
        """These records succeeded: for the order of their keys they are over."""

    def stalled(self, piece: Slice, seconds: float) -> None:
        """The record that runs now has run for so long, far longer than usual."""

    def stale(self, piece: Slice) -> None:
        """A slice ended after its generation: its results are ignored."""

    def failed(
        self,
        generation: Generation,
        record: Record,
        error: Exception,
        attempt: int,
        pause: float,
    ) -> None:
        """An attempt failed; the record's key waits `pause` seconds for the next one."""

    def restored(self, generation: Generation, record: Record, attempts: int, pause: float) -> None:
        """An earlier owner attempted this record so often; its key waits `pause` more seconds, if
        any.
        """

    def discarded(self, generation: Generation, record: Record, error: Exception) -> None:
        """A record was given up: it is over, and complete."""

    def given_up(self, generation: Generation, record: Record, error: Exception) -> None:
        """A record is to be buried; `dead_lettered` says when it is."""

    def dead_lettered(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        """A record's dead letter is acknowledged: it is over, and complete."""

    def unburied(self, generation: Generation, record: Record, reason: str, pause: float) -> None:
        """A dead letter was not delivered; the record's key waits `pause` seconds for the next
        try.
        """

    def blocked(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        """A record failed for good and its policy says to hold its key."""

    def stopping_for(self, generation: Generation, record: Record, error: Exception) -> None:
        """A record failed for good and its policy says to stop the app."""

    def deferred(self, generation: Generation, order: object) -> None:
        """More of this order waits than may be in memory: of what comes, offsets are kept, and the
        records are read again when it is their turn.
        """

    def read_again(self, generation: Generation, record: Record, gone: bool) -> None:
        """A deferred record is in memory again; or it is gone from the log, and will fail."""

    def left_out(self, generation: Generation, records: Sequence[Record]) -> None:
        """Records that were delivered again, or were complete before this generation."""

    def before_commit(self, commits: Sequence[Commit]) -> None:
        """These commits are about to be sent."""

    def after_commit(self, frozen: Mapping[Generation, Frozen]) -> None:
        """The broker acknowledged these commits."""

    def commit_failed(self, commits: Sequence[Commit], error: str) -> None:
        """The broker refused, or nobody knows; the same will be committed again."""

    def undelivered(self, generation: Generation, record: Record, error: str) -> None:
        """A record emitted by this one was not delivered: the partition is read again from its
        last commit.
        """

    def aborted(self, reason: str) -> None:
        """A transaction was not committed: all partitions are read again from their last commit."""

    def unreadable(self, partition: TopicPartition, offset: int, reason: str) -> None:
        """The metadata beside the committed offset says nothing we understand: no record above
        the offset counts as complete.
        """

    def suspected(self, generation: Generation, deaths: int) -> None:
        """So many owners of this partition died at the same frontier: its records run alone."""

    def breaker_opened(self, generation: Generation, died: int, ended: int) -> None:
        """Of the last records that ended, so many died: nothing of this partition starts."""

    def breaker_closed(self, generation: Generation) -> None:
        """It goes on."""

    def full(self, generation: Generation, order: object) -> None:
        """The completion map is full: this partition takes nothing new until that key moves."""


class Observer(Events):
    """Listens, and may stand around every attempt."""

    def observe(self, route: Route) -> Route:
        """The route to work with in place of this one: asked once for each topic, before
        anything runs. What it wraps around `Route.invoke` runs where attempts run.
        """
        return route


class Fanout(Events):
    """Tells several listeners, in order."""

    def __init__(self, *listeners: Events) -> None:
        self._listeners = listeners

    def _tell(self, name: str, *arguments: object) -> None:
        for listener in self._listeners:
            getattr(listener, name)(*arguments)


def _forwarding(name: str) -> object:
    def forward(self: Fanout, *arguments: object) -> None:
        self._tell(name, *arguments)

    forward.__name__, forward.__doc__ = name, getattr(Events, name).__doc__
    return forward


for _name in [name for name in vars(Events) if not name.startswith("_")]:
    setattr(Fanout, _name, _forwarding(_name))
