"""Compares what was done with the file: every flight, and the order of every aircraft."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from examples.flight_recorder import Aircraft, FlightRecorder, name
from examples.flights import Flight


class Note(NamedTuple):
    """A line of the journal."""

    what: str  # "start", "end" or "failed"
    number: int
    process: int
    nanoseconds: int


def read_notes(journal: Path) -> list[Note]:
    """The journal; empty if there is none yet."""
    if not journal.exists():
        return []
    text = journal.read_text()
    complete = text[: text.rfind("\n") + 1]  # a line may be half there while somebody writes it
    lines = (line.split() for line in complete.splitlines())
    return [Note(what, *map(int, numbers)) for what, *numbers in lines]


@dataclass
class Report:
    """What is right and wrong about a run.

    Attributes:
        done: flights whose job ended at least once.
        aircraft: with a tail number, among those.
        missing: flights whose job did not.
        violations: each attempt that broke the order of its aircraft, in words.
        replays: attempts of flights that had been attempted before.
        rows_agree: whether SQLite has what the flights that are done add up to.
        seconds: from the first start to the last end.
    """

    done: int = 0
    aircraft: int = 0
    missing: list[int] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    replays: int = 0
    rows_agree: bool = False
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        return self.in_order and not self.missing

    @property
    def in_order(self) -> bool:
        return self.rows_agree and not self.violations

    @property
    def per_second(self) -> float:
        return self.done / self.seconds if self.seconds else 0.0


def check(flights: Sequence[Flight], recorder: FlightRecorder) -> Report:
    """Compare a recorder's rows and journal with the flights that were enqueued."""
    notes = [note for note in read_notes(recorder.journal.path) if note.number < len(flights)]
    ended = {note.number for note in notes if note.what == "end"}
    starts = [note.number for note in notes if note.what == "start"]
    done = [flight for flight in flights if flight.number in ended]
    return Report(
        done=len(done),
        aircraft=len({flight.tailnum for flight in done} - {None}),
        missing=[flight.number for flight in flights if flight.number not in ended],
        violations=order_violations(flights, notes),
        replays=len(starts) - len(set(starts)),
        rows_agree=recorder.rows() == expected_rows(done),
        seconds=(notes[-1].nanoseconds - notes[0].nanoseconds) / 1e9 if notes else 0.0,
    )


def expected_rows(flights: Sequence[Flight]) -> Mapping[str, Aircraft]:
    """What SQLite should have, computed from the file, in its order."""
    rows: dict[str, Aircraft] = {}
    for number, tailnum, destination, minutes_late in flights:
        key = name(number, tailnum)
        count, minutes = rows[key][:2] if key in rows else (0, 0)
        rows[key] = Aircraft(count + 1, minutes + (minutes_late or 0), destination, number)
    return rows


def order_violations(flights: Sequence[Flight], notes: Sequence[Note]) -> list[str]:
    """Every attempt that started before an earlier flight of its aircraft had ended, or while
    another attempt ran. An aircraft may start again from an earlier flight (at least once), and
    then its flights have to come in order again.
    """
    places = _places_by_aircraft(flights)
    reached: dict[str, int] = defaultdict(int)
    running: dict[str, list[tuple[int, int]]] = defaultdict(list)
    violations = []
    for what, number, process, _ in notes:
        tailnum = flights[number].tailnum
        if tailnum is None:
            continue
        place, attempt, others = places[number], (process, number), running[tailnum]
        if what == "start":
            if place > reached[tailnum]:
                violations.append(f"{tailnum}: {number} started before an earlier flight had ended")
            reached[tailnum] = min(reached[tailnum], place)
            others.append(attempt)
            continue
        # Only an end shows that an attempt still ran when others started: it was not killed before.
        for _, other in others[others.index(attempt) + 1 :]:
            violations.append(f"{tailnum}: {other} started while {number} ran")
        others.remove(attempt)
        if what == "end":
            reached[tailnum] = max(reached[tailnum], place + 1)
    return violations


def _places_by_aircraft(flights: Sequence[Flight]) -> dict[int, int]:
    """For each flight, how many its aircraft has before it."""
    counts: dict[str | None, int] = defaultdict(int)
    places = {}
    for flight in flights:
        places[flight.number] = counts[flight.tailnum]
        counts[flight.tailnum] += 1
    return places
