"""Reads the topics of tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from streamjobs.asking import ASK_WITHIN
from streamjobs.broker.ports import Reader, TopicPartition
from streamjobs.errors import StreamjobsError
from streamjobs.tables.table import Table

__all__ = ("Follower", "Following")

BATCH: Final = 5_000
"""Records that are taken in at once."""

AGAIN: Final = 1.0
"""Seconds until a broker that does not answer is asked again."""

TELL_EVERY: Final = 5.0
"""Seconds between two lines that say how far it has got."""

WAIT: Final = 0.2
"""Seconds for which one look waits; a record that comes ends it."""

log = structlog.get_logger("streamjobs")


class Follower:
    """Fills tables, and keeps them up to date. Used by one thread at a time.

    Args:
        tables: by topic.
        partitions: how many a topic has.
        open_reader: called when it is first needed, and again after the broker was away.
        clock: seconds.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        partitions: Callable[[str], int],
        open_reader: Callable[[], Reader],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tables = tables
        self._partitions = partitions
        self._open_reader = open_reader
        self._clock = clock
        self._reader: Reader | None = None
        self._ends: dict[TopicPartition, int] | None = None if tables else {}
        self._next: dict[TopicPartition, int] = {}
        self._not_before = float("-inf")
        self._began = self._told = clock()
        self.records = 0
        for table in tables.values():
            table.open()

    @property
    def is_caught_up(self) -> bool:
        """Whether the tables have all that was there when it began."""
        return self._ends == {}

    def turn(self, wait: float = 0) -> bool:
        """Take in what there is; whether there was anything. A broker that is away is asked again
        in one of the next turns.
        """
        if not self._tables or self._clock() < self._not_before:
            return False
        try:
            return self._step(wait)
        except StreamjobsError as error:
            log.warning("tables cannot be read; it is tried again", error=str(error))
            self._not_before = self._clock() + AGAIN
            self._let_go()
            return False

    def close(self) -> None:
        """Read nothing any more; the tables are closed."""
        self._let_go()
        for table in self._tables.values():
            table.close()

    def _let_go(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _step(self, wait: float) -> bool:
        if self._reader is None:
            self._reader = self._opened()
        batches = self._reader.poll(BATCH, wait)
        for place, records in batches:
            self._tables[place.topic].take(records)
            self._next[place] = records[-1].offset + 1
            self.records += len(records)
        if self._ends:
            self._look_at_ends(self._reader)
        return bool(batches)

    def _opened(self) -> Reader:
        reader = self._open_reader()
        try:
            if self._ends is None:
                self._begin(reader)
            for place, offset in self._next.items():
                reader.seek(place, offset)
        except StreamjobsError:
            reader.close()
            raise
        return reader

    def _begin(self, reader: Reader) -> None:
        places = [
            TopicPartition(topic, number)
            for topic in self._tables
            for number in range(self._partitions(topic))
        ]
        ranges = {place: reader.range(place, ASK_WITHIN) for place in places}
        self._next = {place: found.start for place, found in ranges.items()}
        self._ends = {
            place: found.end for place, found in ranges.items() if found.end > found.start
        }
        self._say_if_complete()

    def _look_at_ends(self, reader: Reader) -> None:
        """Behind the last record there may be markers of transactions, which nobody gets."""
        ends = self._ends or {}
        self._ends = {
            place: end
            for place, end in ends.items()
            if self._next[place] < end and not reader.at_end(place)
        }
        self._say_if_complete()

    def _say_if_complete(self) -> None:
        now = self._clock()
        if self._ends:
            if now - self._told >= TELL_EVERY:
                self._told = now
                left = sum(end - self._next[place] for place, end in self._ends.items())
                log.info("reading tables", records=self.records, offsets_left=left)
            return
        log.info(
            "tables are read",
            entries={topic: len(table) for topic, table in self._tables.items()},
            seconds=round(now - self._began, 1),
        )


class Following:
    """A follower at work: first in the thread of who waits for it, then in one of its own.

    Args:
        follower: whose turns.
    """

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def catch_up(self, gives_up: Callable[[], bool]) -> bool:
        """Wait until the tables are read; False if `gives_up` said so before."""
        while not self._follower.is_caught_up:
            if gives_up():
                return False
            if not self._follower.turn(WAIT):
                self._stopping.wait(0.01)
        return True

    def start(self) -> None:
        """Follow on in a thread, until `stop`."""
        self._thread = threading.Thread(target=self._run, name="streamjobs-tables", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, and close the tables."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._follower.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if not self._follower.turn(WAIT):
                    self._stopping.wait(0.01)
            except Exception:
                log.exception("tables are not followed for a moment")
                self._stopping.wait(AGAIN)
