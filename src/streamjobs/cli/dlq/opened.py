"""From the command line to letters: what all `dlq` commands begin with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from rich.console import Console

from streamjobs import logs
from streamjobs.app import App
from streamjobs.broker.ports import TopicPartition
from streamjobs.cli.loading import load
from streamjobs.errors import ConfigurationError, StreamjobsError
from streamjobs.failures.journal import LetterState
from streamjobs.failures.letterbox import Chosen, Letterbox, dead_letter_topics
from streamjobs.failures.letters import Letter
from streamjobs.failures.selection import Selection
from streamjobs.failures.sender import Sender

__all__ = ("Desk", "count", "first", "opened", "say", "say_closed")


class Desk(NamedTuple):
    """An app and its letters, of which some are chosen."""

    app: App
    box: Letterbox
    chosen: Chosen

    def sender(self) -> Sender:
        """What writes to their topics and back to the app's."""
        return Sender(self.app.broker, self.app.settings.producer_config)

    def state(self, letter: Letter) -> LetterState:
        """What has become of it."""
        return self.box.journals[letter.place].state(letter.offset)

    def open(self, limit: int | None = None) -> Chosen:
        """Those chosen that are open, the first of them if there is a limit."""
        return first(self.box.open(self.chosen), limit)


@contextmanager
def opened(
    name: str, broker: str | None, topics: list[str] | None, selection: Selection
) -> Iterator[Desk]:
    """Read the dead letters of an app, or those on other topics.

    Raises:
        StreamjobsError: there is no such app, no broker, or none of the letters asked for by id.
    """
    logs.configure(None, verbose=False)
    app = load(name)
    app.override(broker=broker)
    if app.settings.broker == "embedded":
        raise ConfigurationError(
            "an embedded broker ends with this command, so there are no letters on it; give the "
            "address of one that goes on running"
        )
    # Other apps may consume the same topic, and their dead letters come to the same place.
    mine = replace(selection, group=selection.group or app.name)
    try:
        names = topics or dead_letter_topics(app)
        with Letterbox(app.broker, names, app.settings.consumer_config) as box:
            chosen, with_others = box.read(mine.takes, selection.takes)
            _check_ids(mine, chosen)
            desk = Desk(app, box, chosen)
            _tell_what_is_left_out(box, count(box.open(with_others)) - count(desk.open()))
            yield desk
    finally:
        app.close()


def first(chosen: Chosen, limit: int | None) -> Chosen:
    """The first letters, of all partitions together."""
    left = count(chosen) if limit is None else limit
    some: dict[TopicPartition, list[int]] = {}
    for place, offsets in chosen.items():
        if left > 0:
            some[place] = list(offsets[:left])
            left -= len(some[place])
    return some


def each(chosen: Chosen) -> Iterator[tuple[TopicPartition, int]]:
    """The letters, one by one."""
    return ((place, offset) for place, offsets in chosen.items() for offset in offsets)


def count(chosen: Chosen) -> int:
    """How many letters."""
    return sum(map(len, chosen.values()))


def say_closed(desk: Desk, selection: Selection) -> None:
    """Of letters that were asked for by id: which are not open any more."""
    for place, offset in each(desk.chosen) if selection.ids else ():
        journal = desk.box.journals[place]
        if offset not in journal.open:
            say(f"{place.topic}/{place.partition}/{offset} is {journal.state(offset)} already")


def say(text: str) -> None:
    """A note beside the output: to stderr, which leaves stdout to scripts."""
    Console(stderr=True).print(text, style="dim", markup=False, highlight=False, soft_wrap=True)


def _check_ids(selection: Selection, chosen: Chosen) -> None:
    known = {f"{place.topic}/{place.partition}/{offset}" for place, offset in each(chosen)}
    missing = sorted(set(selection.ids or ()) - known)
    if missing:
        raise StreamjobsError(f"there is no such dead letter: {', '.join(missing)}")


def _tell_what_is_left_out(box: Letterbox, of_others: int) -> None:
    if of_others:
        say(f"{of_others:,} open letters of other apps are left out: --group '*' takes all")
    strangers = sum(len(journal.strangers) for journal in box.journals.values())
    if strangers:
        say(f"{strangers:,} records on these topics are no dead letters, or damaged: left alone")
