"""What is promised about how a record ends."""

from __future__ import annotations

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing.guarantees.base import Guarantee, concerns
from streamjobs.testing.guarantees.commits import covers
from streamjobs.testing.history import (
    Assigned,
    Buried,
    Committed,
    Event,
    Settled,
    Unburied,
)

__all__ = ("EveryRecordSettledOnce",)


class EveryRecordSettledOnce(Guarantee):
    """Every record ends once, and in one way: done, dead-lettered or discarded.

    - A generation settles a record once. One that was complete when it began, or that an
      acknowledged commit from before then says is complete, it does not settle at all: so a record
      ends a second time, maybe in another way, only where a crash or a lost partition came before
      the acknowledged commit of the first.
    - A record counts as dead-lettered when its letter stands in the log of the dead-letter topic,
      written by the process that says so, and not before.
    - A record whose letter a process has written ends dead-lettered there, in no other way. It
      writes no second letter for as long as it has the partition, unless it was told that the
      first one was not delivered, or that nobody knows.

    That every record ends at all is what NoLoss says.

    Args:
        letters: whether the history tells which dead letters were written.
    """

    def __init__(self, *, letters: bool = False) -> None:
        super().__init__()
        self._letters = letters
        self._settled: dict[str, dict[int, str]] = {}
        self._began: dict[str, Assigned] = {}
        self._committed: dict[TopicPartition, Committed] = {}
        self._before: dict[str, Committed] = {}
        self._current: dict[tuple[str, TopicPartition], str] = {}
        self._written: dict[tuple[str, TopicPartition], set[int]] = {}
        self._standing: dict[str, set[int]] = {}
        self._anonymous: dict[TopicPartition, set[int]] = {}

    def judge(self, event: Event) -> None:
        match event:
            case Assigned():
                self._begin(event)
            case Committed():
                self._committed[event.partition] = event
            case Buried(member=""):
                self._anonymous.setdefault(event.partition, set()).add(event.offset)
            case Buried() if self._letters:
                self._judge_letter(event)
            case Unburied(generation=generation, offset=offset):
                self._standing.get(generation, set()).discard(offset)
            case Settled():
                self._judge_settlement(event)

    def _begin(self, event: Assigned) -> None:
        self._began[event.generation] = event
        self._current[event.member, event.partition] = event.generation
        if event.partition in self._committed:
            self._before[event.generation] = self._committed[event.partition]

    def _judge_letter(self, event: Buried) -> None:
        writer = (event.member, event.partition)
        self._written.setdefault(writer, set()).add(event.offset)
        generation = self._current.get(writer)
        if generation is None:
            return
        standing = self._standing.setdefault(generation, set())
        if event.offset in standing:
            self._report(event, "got a second letter, though nobody had said that the first failed")
        elif event.offset in self._settled.get(generation, ()):
            self._report(
                event, f"got a letter when it was {self._settled[generation][event.offset]}"
            )
        standing.add(event.offset)

    def _judge_settlement(self, event: Settled) -> None:
        settled = self._settled.setdefault(event.generation, {})
        before = settled.get(event.offset)
        if before is not None:
            self._report(event, f"was {event.how} when it was {before} already")
        elif covers(self._began[event.generation], event.offset):
            self._report(event, f"was {event.how} when it was complete from the beginning")
        elif (first := self._before.get(event.generation)) and covers(first, event.offset):
            self._report(event, f"was {event.how}, though {first.member} had committed its end")
        elif self._letters:
            self._judge_way(event)
        settled[event.offset] = event.how

    def _judge_way(self, event: Settled) -> None:
        written = self._written.get((event.member, event.partition), set())
        if event.how != "dead-lettered":
            if event.offset in self._standing.get(event.generation, ()):
                self._report(event, f"was {event.how}, though its letter had been written")
        elif event.offset not in written | self._anonymous.get(event.partition, set()):
            self._report(event, "was dead-lettered, and its letter is not in the log")

    def _report(self, event: Settled | Buried, what: str) -> None:
        self.violated(
            f"offset {event.offset} of {event.partition} {what} ({event.member})",
            concerns(event.partition, (event.offset,)),
        )
