"""Breakers at work: which topics may start nothing, because too many of their records died."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from streamjobs.engine.events import Events
from streamjobs.engine.generation import Generation
from streamjobs.engine.route import Route
from streamjobs.errors import SequencedRecordError
from streamjobs.failures.breaker import Breaker
from streamjobs.record import Record

__all__ = ("Fuse", "Fuses")


PARTS: Final = 100
"""Of the window, in each of which the counts are added up."""


class Fuse:
    """The state of one breaker.

    Attributes:
        opened: since when it is open, by the owner's clock; None while it is closed.
        ended, died: records that did within the window; for whoever wants to say why it opened.
    """

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.opened: float | None = None
        self.ended = 0
        self.died = 0
        self._in_a_row = 0
        self._past: deque[tuple[float, int, int]] = deque()

    def count(self, ended: int, died: int, now: float) -> None:
        """So many records ended, and so many of them died."""
        self._in_a_row = self._in_a_row + died if died == ended else 0
        if self._past and now - self._past[-1][0] < self.breaker.window / PARTS:
            at, before_ended, before_died = self._past[-1]
            self._past[-1] = at, before_ended + ended, before_died + died
        else:
            self._past.append((now, ended, died))
        self.ended += ended
        self.died += died
        while self._past and self._past[0][0] <= now - self.breaker.window:
            _, earlier_ended, earlier_died = self._past.popleft()
            self.ended -= earlier_ended
            self.died -= earlier_died
        if self.opened is None and died and self._is_too_much():
            self.opened = now

    def due(self, now: float) -> bool:
        """Whether it is open and may close by itself."""
        after = self.breaker.resume_after
        return self.opened is not None and after is not None and now >= self.opened + after

    def close(self) -> None:
        """Begin to count anew."""
        self.opened = None
        self.ended = self.died = self._in_a_row = 0
        self._past.clear()

    def _is_too_much(self) -> bool:
        breaker = self.breaker
        if breaker.consecutive is not None and self._in_a_row >= breaker.consecutive:
            return True
        return (
            breaker.ratio is not None
            and self.ended >= breaker.minimum
            and self.died >= breaker.ratio * self.ended
        )


class Fuses(Events):
    """Counts how records end, topic by topic; topics with an app-wide breaker share one count.

    Args:
        routes: by topic; those without a breaker never stop.
        clock: the owner's.
    """

    def __init__(self, routes: Mapping[str, Route], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._of: dict[str, Fuse] = {}
        shared: dict[object, Fuse] = {}
        for topic, route in routes.items():
            if route.breaker is not None:
                wide = route.breaker.scope == "app"
                self._of[topic] = shared.setdefault(
                    route.breaker if wide else topic, Fuse(route.breaker)
                )
        self._stops_all = [fuse for fuse in self._of.values() if fuse.breaker.scope == "app"]

    def __bool__(self) -> bool:
        return bool(self._of)

    def of(self, topic: str) -> Fuse | None:
        """The open fuse that stops this topic, if any."""
        for fuse in self._stops_all:
            if fuse.opened is not None:
                return fuse
        own = self._of.get(topic)
        return own if own is not None and own.opened is not None else None

    @property
    def open(self) -> Iterable[Fuse]:
        """Those that are open."""
        return [fuse for fuse in dict.fromkeys(self._of.values()) if fuse.opened is not None]

    def close_due(self) -> None:
        """Close those whose time is over."""
        now = self._clock()
        for fuse in self.open:
            if fuse.due(now):
                fuse.close()

    def close_all(self) -> None:
        """Somebody says to go on."""
        for fuse in self.open:
            fuse.close()

    # -- how records end ---------------------------------------------------------------------

    def after_settle(self, generation: Generation, records: Sequence[Record]) -> None:
        self._count(generation, len(records), 0)

    def discarded(self, generation: Generation, record: Record, error: Exception) -> None:
        self._count(generation, 1, 1)

    def given_up(self, generation: Generation, record: Record, error: Exception) -> None:
        if not isinstance(error, SequencedRecordError):  # that one only followed
            self._count(generation, 1, 1)

    def blocked(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        self._count(generation, 1, 1)

    def _count(self, generation: Generation, ended: int, died: int) -> None:
        fuse = self._of.get(generation.partition.topic)
        if fuse is not None:
            fuse.count(ended, died, self._clock())
