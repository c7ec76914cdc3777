"""What a blow to a process cost: how much was in flight, and how much of that ran again."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing.history import (
    Assigned,
    Committed,
    Crashed,
    Event,
    Finished,
    Frozen,
    History,
    Revoked,
    Sent,
    Settled,
    Started,
)

BLOWS: Final = {Crashed: "SIGKILL", Frozen: "SIGSTOP", Revoked: "session lost"}
TOGETHER: Final = 1.0
"""A session is lost for all its partitions within so many seconds."""


@dataclass(slots=True, eq=False)
class Assignment:
    """One generation: what it did to its partition, and what the broker knows of that.

    Attributes:
        first_start: when its first attempt began.
        committed_at: when the last commit was acknowledged, or when it began.
        uncovered: what was settled and is not in that commit.
        ended: whether it was given up or lost.
        struck: whether its process was killed or frozen.
        successors: later assignments of the same partition.
    """

    event: Assigned
    committed_at: float
    first_start: float | None = None
    started: set[int] = field(default_factory=set)
    running: set[int] = field(default_factory=set)
    settled: set[int] = field(default_factory=set)
    uncovered: set[int] = field(default_factory=set)
    ended: bool = False
    struck: bool = False
    successors: list["Assignment"] = field(default_factory=list)

    def commit(self, commit: Committed) -> None:
        """The broker acknowledged this."""
        self.committed_at = commit.at
        self.uncovered = {each for each in self.uncovered if each >= commit.frontier}
        for start, length in commit.completed:
            self.uncovered.difference_update(range(start, start + length))

    @property
    def in_flight(self) -> set[int]:
        """Began and not settled: they run, wait for another attempt, or for the owner."""
        return self.started - self.settled

    @property
    def replayed(self) -> set[int]:
        """What ran again in an assignment after this one."""
        return self.started & set().union(*(each.started for each in self.successors))


@dataclass(frozen=True, slots=True)
class Toll:
    """What one blow cost.

    Attributes:
        blow: what happened: "SIGKILL", "SIGSTOP", or "session lost" (by the broker's fault).
        at: when, in seconds of the history's clock.
        running: attempts that ran at that moment.
        in_flight: records that had begun and were not settled.
        since_commit: records settled since the last acknowledged commit.
        commit_age: seconds since that commit; since the oldest, of several partitions.
        replayed: records that ran again.
        strays: those of them that were neither in flight nor settled since the commit.
        back: seconds until all partitions where something ran again had got to that.
    """

    blow: str
    member: str
    at: float
    running: int
    in_flight: int
    since_commit: int
    commit_age: float
    replayed: int
    strays: int
    back: float

    @property
    def kept(self) -> bool:
        """Whether no more ran again than was in flight or settled since the last commit."""
        return self.replayed <= self.in_flight + self.since_commit and not self.strays


@dataclass(frozen=True, slots=True)
class _Strike:
    """A blow at the moment it fell."""

    event: Crashed | Frozen | Revoked
    held: list[Assignment]
    running: int
    commit_age: float

    def toll(self) -> Toll:
        """What it cost, once everything is over."""
        in_flight = since = replayed = strays = 0
        back = 0.0
        for each in self.held:
            in_flight += len(each.in_flight)
            since += len(each.uncovered)
            again = each.replayed
            replayed += len(again)
            strays += len(again - each.in_flight - each.uncovered)
            starts = [a.first_start for a in each.successors if a.first_start is not None]
            if again:
                back = max(back, min(starts) - self.event.at)
        return Toll(
            blow=BLOWS[type(self.event)],
            member=self.event.member,
            at=self.event.at,
            running=self.running,
            in_flight=in_flight,
            since_commit=since,
            commit_age=self.commit_age,
            replayed=replayed,
            strays=strays,
            back=back,
        )


class Accounts:
    """Reads a history and adds up what blows cost.

    Attributes:
        sent, attempts: records that were written, and attempts that began.
        unsettled: records nobody has settled.
        replayed: records that had been settled by somebody and began again.
    """

    def __init__(self, history: History) -> None:
        self.sent = 0
        self.attempts = 0
        self.replayed = 0
        self.unsettled: set[tuple[TopicPartition, int]] = set()
        self._settled: set[tuple[TopicPartition, int]] = set()
        self._assignments: dict[str, Assignment] = {}
        self._strikes: list[_Strike] = []
        for event in history:
            self._take(event)

    @property
    def tolls(self) -> list[Toll]:
        """What each blow cost, in their order."""
        return [strike.toll() for strike in self._strikes]

    def _take(self, event: Event) -> None:
        match event:
            case Sent():
                self.sent += 1
                if (event.partition, event.offset) not in self._settled:
                    self.unsettled.add((event.partition, event.offset))
            case Assigned():
                self._assign(event)
            case Started():
                self._start(event)
            case Finished(generation=generation, offset=offset):
                self._assignments[generation].running.discard(offset)
            case Settled(generation=generation, offset=offset):
                self._assignments[generation].settled.add(offset)
                self._assignments[generation].uncovered.add(offset)
                self._settled.add((event.partition, offset))
                self.unsettled.discard((event.partition, offset))
            case Committed(generation=generation):
                self._assignments[generation].commit(event)
            case Revoked():
                self._end(event)
            case Crashed() | Frozen():
                held = [each for each in self._held(event.member) if not each.struck]
                self._strike(event, held)

    def _assign(self, event: Assigned) -> None:
        made = Assignment(event, committed_at=event.at)
        for each in self._assignments.values():
            if each.event.partition == event.partition:
                each.successors.append(made)
        self._assignments[event.generation] = made

    def _start(self, event: Started) -> None:
        assignment = self._assignments[event.generation]
        if assignment.first_start is None:
            assignment.first_start = event.at
        assignment.started.add(event.offset)
        assignment.running.add(event.offset)
        self.attempts += 1
        self.replayed += event.attempt == 1 and (event.partition, event.offset) in self._settled

    def _end(self, event: Revoked) -> None:
        assignment = self._assignments[event.generation]
        if event.lost and not assignment.struck:
            held = [assignment]
            for strike in self._strikes:
                if (
                    isinstance(strike.event, Revoked)
                    and strike.event.member == event.member
                    and event.at - strike.event.at < TOGETHER
                ):
                    held = [*strike.held, assignment]
                    self._strikes.remove(strike)
                    break
            self._strike(event, held)
        assignment.ended = True

    def _held(self, member: str) -> Iterable[Assignment]:
        return (
            each
            for each in self._assignments.values()
            if each.event.member == member and not each.ended
        )

    def _strike(self, event: Crashed | Frozen | Revoked, held: list[Assignment]) -> None:
        ages = [event.at - each.committed_at for each in held if each.uncovered]
        running = sum(len(each.running) for each in held)
        self._strikes.append(_Strike(event, held, running, max(ages, default=0.0)))
        for each in held:
            each.struck = True
