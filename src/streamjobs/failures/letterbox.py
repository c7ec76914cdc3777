"""Dead-letter topics, read from their start to their end, and followed from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from streamjobs.broker.ports import Broker, LogRange, TopicPartition
from streamjobs.errors import BrokerUnavailableError
from streamjobs.failures.journal import Journal
from streamjobs.failures.letters import Letter, read_letter
from streamjobs.failures.reading import PATIENCE, read_ranges
from streamjobs.record import Record

if TYPE_CHECKING:
    from streamjobs.app import App

__all__ = ("Chosen", "Letterbox", "dead_letter_topics")

ASK_WITHIN: Final = 5.0

Chosen = Mapping[TopicPartition, Sequence[int]]
"""Letters by their partitions and offsets, ascending."""


def dead_letter_topics(app: App) -> list[str]:
    """Where the dead letters of this app go."""
    return sorted({topic.dead_letter_topic for topic in app.topics.values()})


class Letterbox:
    """All partitions of some dead-letter topics. Topics that do not exist have no letters.

    It keeps offsets only, since nobody knows how many letters there are and how large; the
    letters themselves are read again when they are needed.

    Args:
        broker: where they are.
        topics: their names.
        extra: for the clients that read, as it is.

    Attributes:
        counts: the topics of the cluster, and how many partitions each has.
        ranges: what each partition held when it was opened.
        journals: what is known of each partition, as far as it was read.

    Raises:
        BrokerUnavailableError: nobody answers.
    """

    def __init__(self, broker: Broker, topics: Sequence[str], extra: Mapping[str, Any]) -> None:
        self.counts = broker.topics(ASK_WITHIN)
        self.journals = {
            place: Journal(place) for topic in topics for place in _partitions(topic, self.counts)
        }
        self._reader = broker.reader(extra)
        self._follower = broker.reader(extra)  # since `letters` may be in the middle of reading
        # Where replayed records are looked for, a transaction that some other program has left
        # open must not hide them.
        self._searcher = broker.reader({**extra, "isolation.level": "read_uncommitted"})
        self.ranges = {place: self._reader.range(place, ASK_WITHIN) for place in self.journals}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in (self._reader, self._follower, self._searcher):
            reader.close()

    # -- letters -----------------------------------------------------------------------------

    def read(self, *choices: Callable[[Letter], bool]) -> list[Chosen]:
        """Read everything. Returns for each choice the letters that it takes, whatever has become
        of them.
        """
        taken: list[dict[TopicPartition, list[int]]] = [{} for _ in choices]
        for record in read_ranges(self._reader, self.ranges):
            place = TopicPartition(record.topic, record.partition)
            letter = self.journals[place].add(record)
            if letter is not None:
                for chosen, takes in zip(taken, choices, strict=True):
                    if takes(letter):
                        chosen.setdefault(place, []).append(letter.offset)
        return [dict(sorted(chosen.items())) for chosen in taken]

    def open(self, chosen: Chosen) -> dict[TopicPartition, list[int]]:
        """Those that are open."""
        return {
            place: left
            for place, offsets in chosen.items()
            if (left := [each for each in offsets if each in self.journals[place].open])
        }

    def letters(self, chosen: Chosen) -> Iterator[Letter]:
        """These letters, partition by partition, in their order."""
        for place, offsets in chosen.items():
            wanted = set(offsets)
            span = LogRange(offsets[0], offsets[-1] + 1)
            for record in read_ranges(self._reader, {place: span}):
                if record.offset in wanted:
                    yield read_letter(record)

    # -- what comes behind them --------------------------------------------------------------

    def catch_up(self, place: TopicPartition, until: int | None = None) -> Journal:
        """Read on from where the journal ends.

        Args:
            until: the offset after a record that was acknowledged; None for the end of the log.

        Raises:
            BrokerUnavailableError: that record does not come.
        """
        journal = self.journals[place]
        end = self.spans([place])[place].end if until is None else until
        deadline = time.monotonic() + PATIENCE
        while True:
            for record in read_ranges(self._follower, {place: LogRange(journal.next, end)}):
                journal.add(record)
            if until is None or journal.next >= until:
                return journal
            if time.monotonic() > deadline:
                raise BrokerUnavailableError(
                    f"{place} cannot be read up to {until}: a transaction of some other program "
                    "may have been open there for too long; try again"
                )

    def spans(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, LogRange]:
        """What partitions of any topic hold now; those that do not exist are left out."""
        return {
            place: self._searcher.range(place, ASK_WITHIN)
            for place in places
            if place.partition < self.counts.get(place.topic, 0)
        }

    def search(self, starts: Mapping[TopicPartition, int]) -> Iterator[Record]:
        """What was written to these partitions, from these offsets on until now."""
        return read_ranges(
            self._searcher,
            {
                place: LogRange(starts[place], span.end)
                for place, span in self.spans(starts).items()
            },
        )


def _partitions(topic: str, counts: Mapping[str, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(counts.get(topic, 0))]
