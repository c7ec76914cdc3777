"""Finding out what became of replays that were interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.errors import StreamjobsError
from streamjobs.failures.letterbox import Letterbox
from streamjobs.failures.marks import Intent, Replayed
from streamjobs.failures.resend import letter_of
from streamjobs.failures.sender import Sender, note

__all__ = ("ReplayRunningError", "Settled", "arrivals", "settle")

PAUSE: Final = 2.0
"""Seconds in which a replay that is alive moves, and what a killed one had sent arrives."""


class ReplayRunningError(StreamjobsError):
    """Another process is at work on the same letters."""

    def __init__(self, place: TopicPartition) -> None:
        super().__init__(
            f"another replay or purge is at work on {place}: wait until it has ended, then run "
            "this again; nothing is sent twice"
        )


@dataclass(slots=True)
class Settled:
    """What became of the letters that interrupted replays were about to send.

    Attributes:
        found: how many had arrived.
        reopened: how many had not: they are open again.
        unsure: partitions that have lost records (retention) among which some may have been.
    """

    found: int = 0
    reopened: int = 0
    unsure: set[TopicPartition] = field(default_factory=set)


def settle(
    box: Letterbox, sender: Sender, pause: Callable[[], None] = lambda: time.sleep(PAUSE)
) -> Settled:
    """End all replays that have begun and not ended: look for their letters where they went.

    What a process that was killed had sent is in the log within milliseconds, or never; a process
    that is alive goes on sending. So wait a little, and see that nothing moves. What cannot be
    seen is a process that stands still all that time and goes on later.

    Raises:
        ReplayRunningError: something moves.
    """
    settled = Settled()
    begun = [
        (place, intent)
        for place, journal in box.journals.items()
        for intent in journal.intents.values()
    ]
    if not begun:
        return settled
    spans = box.spans({target for _, intent in begun for target in intent.ends})
    pause()
    for place, intent in begun:
        journal = box.catch_up(place)
        found = arrivals(box, place, intent)
        moves = any(offset >= spans[target].end for target, offset in found.values())
        if moves or journal.intents.get(intent.replay) != intent:
            raise ReplayRunningError(place)
        missing = set(intent.offsets).difference(found)
        if missing:
            settled.unsure |= {
                target
                for target, span in spans.items()
                if intent.ends.get(target, span.start) < span.start
            }
        note(box, sender, place, Replayed(intent.replay, sorted(found)))
        settled.found += len(found)
        settled.reopened += len(missing)
    return settled


def arrivals(
    box: Letterbox, place: TopicPartition, intent: Intent
) -> dict[int, tuple[TopicPartition, int]]:
    """Which letters of an intent have arrived, by their offsets, and where each now stands."""
    wanted = set(intent.offsets)
    found = {}
    for record in box.search(intent.ends):
        letter = letter_of(record)
        if letter is not None and letter[0] == place and letter[1] in wanted:
            found[letter[1]] = TopicPartition(record.topic, record.partition), record.offset
    return found
