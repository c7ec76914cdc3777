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

    def assigned(self, generation: Generation) -> None:
        """A generation began."""

    def revoking(self, generation: Generation) -> None:
        """A generation is to end: nothing more starts, running records get a bounded time."""

    def revoked(self, generation: Generation, lost: bool) -> None:
        """A generation ended; `lost` when the partition may have had another owner already."""

    def accepted(self, generation: Generation, records: Sequence[Record]) -> None:
        """Records were read, registered and queued."""

    def started(self, piece: Slice) -> None:
        """A slice went to a worker."""

    def settled(self, generation: Generation, records: Sequence[Record]) -> None:
        """These records succeeded: for the order of their keys they are over."""

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

    def discarded(self, generation: Generation, record: Record, error: Exception) -> None:
        """A record was given up: it is over, and complete."""

    def left_out(self, generation: Generation, records: Sequence[Record]) -> None:
        """Records that were delivered again, or were complete before this generation."""

    def committed(self, frozen: Mapping[Generation, Frozen]) -> None:
        """The broker acknowledged these commits."""

    def commit_failed(self, commits: Sequence[Commit], error: str) -> None:
        """The broker refused, or nobody knows; the same will be committed again."""

    def undelivered(self, generation: Generation, record: Record, error: str) -> None:
        """A record emitted by this one was not delivered: the partition is read again from its
        last commit.
        """

    def unreadable(self, partition: TopicPartition, offset: int, reason: str) -> None:
        """The metadata beside the committed offset says nothing we understand: no record above
        the offset counts as complete.
        """

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
