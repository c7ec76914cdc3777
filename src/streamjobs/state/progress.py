"""Says how far the restoring of stores has got: bars on a terminal, else a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, Protocol

import structlog
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from streamjobs.broker.ports import TopicPartition

__all__ = ("Bars", "Lines", "Restoring", "Told", "restoring_on")

TELL_EVERY: Final = 5.0
"""Seconds between two lines."""

BAR_AFTER: Final = 0.5
"""Seconds without a bar: most stores are restored by then."""

DRAW_EVERY: Final = 0.1

log = structlog.get_logger("streamjobs")


class Told(Protocol):
    """The restoring of one store. Called once a batch, by the owner."""

    def tell(self, done: int) -> None:
        """So many offsets are done."""

    def end(self, *, complete: bool) -> None:
        """It is restored, or its partition has gone. A second time does nothing."""


class Restoring(Protocol):
    """Of several stores at once."""

    def begin(self, place: TopicPartition, offsets: int) -> Told:
        """A store begins that has so many offsets of its changelog to take in."""


def restoring_on(console: Console, clock: Callable[[], float]) -> Restoring:
    """What suits where the log goes."""
    return Bars(console, clock) if console.is_terminal else Lines(clock)


class Lines(Restoring):
    """In the log, where it takes long.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def begin(self, place: TopicPartition, offsets: int) -> Told:
        return _Line(place, offsets, self._clock)


class _Line(Told):
    def __init__(self, place: TopicPartition, offsets: int, clock: Callable[[], float]) -> None:
        self._place = place
        self._offsets = offsets
        self._clock = clock
        self._began = self._told = clock()

    def tell(self, done: int) -> None:
        now = self._clock()
        if now - self._told >= TELL_EVERY:
            self._told = now
            log.info(
                "restoring state",
                changelog=str(self._place),
                offsets=done,
                of=self._offsets,
                seconds=round(now - self._began, 1),
            )

    def end(self, *, complete: bool) -> None:
        if complete:
            took = self._clock() - self._began
            restored(self._place, self._offsets, took, is_news=self._told > self._began)


class Bars(Restoring):
    """One for each store, below the lines of the log; gone when all are restored.

    They are drawn by who restores, ten times a second at most: no thread, and nothing where nothing
    is restored. While there are some, what is written to `sys.stderr` goes above them.

    Args:
        console: where to.
        clock: seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._progress: Progress | None = None
        self._drawn = float("-inf")
        self._bars: set[_Bar] = set()

    def begin(self, place: TopicPartition, offsets: int) -> Told:
        bar = _Bar(self, place, offsets, self._clock)
        self._bars.add(bar)
        return bar

    def shown(self) -> Progress:
        """What draws them."""
        if self._progress is None:
            self._progress = Progress(
                TextColumn("restoring {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
                console=self._console,
                auto_refresh=False,
                transient=True,
                # What goes to stdout may go elsewhere.
                redirect_stdout=sys.stdout.isatty(),
                get_time=self._clock,
            )
            self._progress.start()
        return self._progress

    def draw(self) -> None:
        """Not more often than anybody sees."""
        now = self._clock()
        if self._progress is not None and now - self._drawn >= DRAW_EVERY:
            self._drawn = now
            self._progress.refresh()

    def leave(self, bar: _Bar) -> None:
        """This one is over; with the last one the terminal is as it was."""
        self._bars.discard(bar)
        if not self._bars and self._progress is not None:
            self._progress.stop()
            self._progress = None


class _Bar(Told):
    def __init__(
        self, bars: Bars, place: TopicPartition, offsets: int, clock: Callable[[], float]
    ) -> None:
        self._bars = bars
        self._place = place
        self._offsets = offsets
        self._clock = clock
        self._began = clock()
        self._ended = False
        self._task: int | None = None

    def tell(self, done: int) -> None:
        if self._task is None:
            if self._clock() - self._began < BAR_AFTER:
                return
            self._task = self._bars.shown().add_task(str(self._place), total=self._offsets)
        self._bars.shown().update(self._task, completed=done)  # type: ignore[arg-type]
        self._bars.draw()

    def end(self, *, complete: bool) -> None:
        if self._ended:
            return
        self._ended = True
        if self._task is not None:
            self._bars.shown().remove_task(self._task)  # type: ignore[arg-type]
        self._bars.leave(self)
        if complete:
            took = self._clock() - self._began
            restored(self._place, self._offsets, took, is_news=self._task is not None)


class _Rate(ProgressColumn):
    """Offsets a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


def restored(place: TopicPartition, offsets: int, seconds: float, *, is_news: bool) -> None:
    """At info, if people have seen that it was under way."""
    (log.info if is_news else log.debug)(
        "state restored", changelog=str(place), offsets=offsets, seconds=round(seconds, 1)
    )
