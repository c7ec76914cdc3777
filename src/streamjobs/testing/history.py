"""What happened, event by event: what guarantees are checked against.

The events are plain values with a JSON form, so that a process which may be killed can write
them to a file, line by line (`History.dump`, `History.load`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import orjson

from streamjobs.broker.ports import TopicPartition

__all__ = (
    "Accepted",
    "Assigned",
    "Blocked",
    "Buried",
    "Checkpointed",
    "Committed",
    "Crashed",
    "Delivered",
    "Event",
    "Expired",
    "Finished",
    "Frozen",
    "History",
    "Jumped",
    "Removed",
    "Restored",
    "Revoked",
    "Revoking",
    "Sent",
    "Settled",
    "Started",
    "Stored",
    "Suspected",
    "Unburied",
)

Offsets = tuple[tuple[int, int], ...]
"""Runs of offsets as (start, length)."""

Counts = tuple[tuple[str, int], ...]
"""What a simulated handler keeps in state: how many records of each key it has counted."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a moment, in seconds of the history's own clock."""

    at: float


@dataclass(frozen=True, slots=True)
class Sent(Event):
    """A record was written. `order` is its ordering key as text, None where it has none; `key` is
    whose state it belongs to, where that is known.
    """

    partition: TopicPartition
    offset: int
    order: str | None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Removed(Event):
    """A record is gone from the log: compaction or retention took it."""

    partition: TopicPartition
    offset: int


@dataclass(frozen=True, slots=True)
class Assigned(Event):
    """A generation began, from `frontier`, with these offsets above it complete."""

    member: str
    generation: str
    partition: TopicPartition
    frontier: int
    completed: Offsets


@dataclass(frozen=True, slots=True)
class Revoked(Event):
    """A generation ended, as its member knows. `lost`: without having been asked."""

    member: str
    generation: str
    partition: TopicPartition
    lost: bool


@dataclass(frozen=True, slots=True)
class Revoking(Event):
    """The member was told that a generation is to end; it has not ended yet."""

    member: str
    generation: str


@dataclass(frozen=True, slots=True)
class Expired(Event):
    """The group has ended a member's session; the member may not know."""

    member: str


@dataclass(frozen=True, slots=True)
class Frozen(Event):
    """A process stands still, with all that it does."""

    member: str


@dataclass(frozen=True, slots=True)
class Crashed(Event):
    """A process ended on the spot, with all that it knew."""

    member: str


@dataclass(frozen=True, slots=True)
class Accepted(Event):
    """Records were read and queued: (offset, order, virtual partition) of each."""

    member: str
    generation: str
    partition: TopicPartition
    records: tuple[tuple[int, str | None, int], ...]


@dataclass(frozen=True, slots=True)
class Restored(Event):
    """A record that was accepted has failed under an earlier owner, and waits on."""

    member: str
    generation: str
    partition: TopicPartition
    offset: int


@dataclass(frozen=True, slots=True)
class Suspected(Event):
    """Nothing of this partition starts as usual: owners died again and again, and its records run
    one at a time, or its breaker has opened.
    """

    member: str
    generation: str
    partition: TopicPartition


@dataclass(frozen=True, slots=True)
class Started(Event):
    """An attempt began."""

    member: str
    generation: str
    partition: TopicPartition
    offset: int
    order: str | None
    lane: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """An attempt ended, with an error or without; it emitted so many records."""

    member: str
    generation: str
    partition: TopicPartition
    offset: int
    error: str | None
    emits: int = 0


@dataclass(frozen=True, slots=True)
class Settled(Event):
    """A record is over for this generation: "done", "discarded" or "dead-lettered"."""

    member: str
    generation: str
    partition: TopicPartition
    offset: int
    how: str


@dataclass(frozen=True, slots=True)
class Blocked(Event):
    """A record failed for good, and its policy holds its key for as long as this generation
    lasts.
    """

    member: str
    generation: str
    partition: TopicPartition
    offset: int


@dataclass(frozen=True, slots=True)
class Buried(Event):
    """The dead letter of the record at this offset was written to the log of its topic.

    Attributes:
        member: who wrote it; "" where that is not known.
        order: the record's ordering key as text, None where it has none.
        letter, place: the partition of the letter, and its offset there.
        attempts, error: how many there were, and the class of the last error, as the letter says.
        changed: what of the record is not in the letter byte for byte: "key", "value",
            "headers"; None if all is.
    """

    member: str
    partition: TopicPartition
    offset: int
    order: str | None
    letter: TopicPartition
    place: int
    attempts: int
    error: str
    changed: str | None = None


@dataclass(frozen=True, slots=True)
class Unburied(Event):
    """A generation was told that a dead letter was not delivered, or that nobody knows: it will
    write it again.
    """

    member: str
    generation: str
    partition: TopicPartition
    offset: int


@dataclass(frozen=True, slots=True)
class Delivered(Event):
    """What the record at this offset emitted was written to the log of its topic, for all to see.

    Attributes:
        number: which one of its key the record was, by the handler's count in state; 0 where it
            does not count.
        place: its offset there; -1 where that is not known.
    """

    partition: TopicPartition
    offset: int
    number: int = 0
    place: int = -1


@dataclass(frozen=True, slots=True)
class Committed(Event):
    """The broker acknowledged a commit: this frontier, and these offsets above it."""

    member: str
    generation: str
    partition: TopicPartition
    frontier: int
    completed: Offsets


@dataclass(frozen=True, slots=True)
class Checkpointed(Event):
    """A transaction has ended and changed what the broker has: this progress, and this state, as
    the changelog says it to who reads what is committed. The member may not know.
    """

    member: str
    partition: TopicPartition
    frontier: int
    completed: Offsets
    counts: Counts


@dataclass(frozen=True, slots=True)
class Stored(Event):
    """What a store on a machine's disk holds when it is brought to the end of its changelog."""

    machine: str
    partition: TopicPartition
    counts: Counts


@dataclass(frozen=True, slots=True)
class Jumped(Event):
    """The clock jumped ahead, for everybody at once: nobody had that time to do anything."""

    seconds: float


_KINDS = {
    kind.__name__: kind
    for kind in (
        Sent, Removed, Assigned, Revoked, Revoking, Expired, Crashed,
        Accepted, Started, Finished, Settled, Delivered, Committed, Jumped, Frozen,
        Restored, Suspected, Blocked, Buried, Unburied, Checkpointed, Stored,
    )
}  # fmt: skip


class History:
    """Events in the order they happened."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events: list[Event] = list(events)

    def add(self, event: Event) -> None:
        """One more."""
        self.events.append(event)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def dump(self, file: TextIO) -> None:
        """Write them as JSON lines."""
        file.writelines(to_line(event) for event in self.events)

    @classmethod
    def load(cls, *files: TextIO) -> History:
        """Read JSON lines of several processes and put them in the order of their clock.

        A last line that was cut off (the process was killed while it wrote) is left out.
        """
        events = [event for file in files for line in file if (event := from_line(line))]
        return cls(sorted(events, key=lambda event: event.at))


def to_line(event: Event) -> str:
    """An event as one JSON line."""
    fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    # Named tuples are no tuples to orjson.
    return orjson.dumps({"event": type(event).__name__} | fields, default=tuple).decode() + "\n"


def from_line(line: str) -> Event | None:
    """An event from its line; None if the line is not whole."""
    try:
        fields: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    kind = _KINDS[fields.pop("event")]
    for name in ("partition", "letter"):
        if name in fields:
            fields[name] = TopicPartition(*fields[name])
    for name in ("completed", "records", "counts"):
        if name in fields:
            fields[name] = tuple(map(tuple, fields[name]))
    return kind(**fields)
