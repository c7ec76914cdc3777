"""`DeadLetter(sequenced=True)`: a key is held while it has an open letter. The dead-letter topic
itself says which have: it is read when a partition is assigned, and followed from then on.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from streamjobs import headers
from streamjobs.asking import ASK_WITHIN, Asking
from streamjobs.broker.ports import Reader, TopicPartition
from streamjobs.engine.generation import Generation
from streamjobs.engine.holds import Holds
from streamjobs.engine.kept import Kept
from streamjobs.engine.orders import Order
from streamjobs.failures.journal import Journal
from streamjobs.failures.letters import Letter
from streamjobs.publisher import Topics
from streamjobs.record import Record

__all__ = ("LetterLog", "SequencedKeys")

BATCH: Final = 1000
FOLLOW_EVERY: Final = 0.5
"""Seconds between looks for new letters and marks: how long a release takes to be seen."""

AGAIN: Final = 2.0
"""Seconds until a topic that was not there, or a broker that did not answer, is asked again."""


class SequencedKeys(Holds):
    """The held keys of one partition.

    A record that a replay wrote is let through while its key is held, for that is what it waits
    for; unless an earlier record of the same replay and key has died again.

    Args:
        generation: whose.
        place: the dead-letter partition of its letters.

    Attributes:
        is_known: whether what stood there when the partition was assigned has been read.
    """

    def __init__(self, generation: Generation, place: TopicPartition) -> None:
        self.place = place
        self.is_known = False
        self.journal = Journal(place, self._order_of)
        self._generation = generation
        self._own: dict[Order, int] = {}
        """The last letter of an order that was written here, until it is read."""
        self._dead_replays: dict[Order, set[bytes]] = defaultdict(set)

    def holds(self, order: Order, record: Record) -> bool:
        if order is record or not self._is_held(order):
            return False
        replay = record.header(headers.REPLAY)
        return replay is None or replay in self._dead_replays[order]

    def buried(self, order: Order, record: Record, offset: int) -> None:
        if order is not record:
            self._own[order] = offset
            self._note_replay(order, record)

    def _is_held(self, order: Order) -> bool:
        own = self._own.get(order)
        if own is not None and own < self.journal.next:
            del self._own[order]
            own = None
        if own is not None or self.journal.holds(order):
            return True
        self._dead_replays.pop(order, None)
        return False

    def _order_of(self, letter: Letter) -> Order | None:
        record = letter.record
        if (record.topic, record.partition) != self._generation.partition:
            return None
        try:
            order = self._generation.order(record)
        except Exception:
            return None  # its partitioner raised, which is why it is here
        if order is record:
            return None
        self._note_replay(order, record)
        return order

    def _note_replay(self, order: Order, record: Record) -> None:
        replay = record.header(headers.REPLAY)
        if replay is not None:
            self._dead_replays[order].add(replay)


class LetterLog(Kept):
    """Feeds the journals.

    Args:
        topics: how many partitions a dead-letter topic has.
        open_reader: called when one is first needed.
        clock: seconds.
    """

    def __init__(
        self,
        topics: Topics,
        open_reader: Callable[[], Reader],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topics = topics
        self._open_reader = open_reader
        self._clock = clock
        self._asking = Asking("dead letters", AGAIN, clock)
        self._reader: Reader | None = None
        self._keys: dict[Generation, SequencedKeys] = {}
        self._ends: dict[Generation, int] = {}
        """Up to where an opened journal has to be read before its partition may start."""
        self._unopened: list[Generation] = []
        self._ready: list[Generation] = []
        self._follow_again = float("-inf")

    def load(self, generation: Generation) -> None:
        topic = generation.route.sequenced_by
        assert topic is not None
        keys = SequencedKeys(generation, TopicPartition(topic, generation.partition.partition))
        generation.holds = self._keys[generation] = keys
        self._unopened.append(generation)

    def turn(self) -> Sequence[Generation]:
        if self._unopened and self._asking.is_due:
            self._asking.ask(self._open_all)
        now = self._clock()
        if self._reader is not None and (self._ends or now >= self._follow_again):
            # A batch a turn; while there are more, the next turn goes on.
            if not self._read(self._reader):
                self._follow_again = now + FOLLOW_EVERY
            self._find_known(self._reader)
        ready, self._ready = self._ready, []
        return ready

    def forget(self, generation: Generation) -> None:
        keys = self._keys.pop(generation, None)
        self._ends.pop(generation, None)
        if generation in self._unopened:
            self._unopened.remove(generation)
        elif keys is not None and self._reader is not None and not self._followers(keys.place):
            self._reader.stop(keys.place)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _open_all(self) -> None:
        for generation in list(self._unopened):
            if self._open(generation):
                self._unopened.remove(generation)
        if self._unopened:
            self._asking.pause()  # there is no such topic yet

    def _open(self, generation: Generation) -> bool:
        """Begin to follow; False while there is no such topic, so that there are no letters."""
        keys = self._keys[generation]
        count = self._topics.look_for(keys.place.topic)
        if not count:
            if not keys.is_known:
                keys.is_known = True
                self._ready.append(generation)
            return False
        if self._reader is None:
            self._reader = self._open_reader()
        place = TopicPartition(keys.place.topic, keys.place.partition % count)
        start, end = self._reader.range(place, ASK_WITHIN)
        keys.place = place
        if not keys.is_known:
            self._ends[generation] = end if end > start else 0
        # Journals that were further on take no notice of what they know.
        self._reader.seek(place, start)
        return True

    def _read(self, reader: Reader) -> bool:
        batches = reader.poll(BATCH, 0)
        for place, records in batches:
            for keys in self._followers(place):
                for record in records:
                    keys.journal.add(record)
        return bool(batches)

    def _find_known(self, reader: Reader) -> None:
        for generation, end in list(self._ends.items()):
            keys = self._keys[generation]
            if keys.journal.next >= end or reader.at_end(keys.place):
                del self._ends[generation]
                keys.is_known = True
                self._ready.append(generation)

    def _followers(self, place: TopicPartition) -> list[SequencedKeys]:
        unopened = {self._keys[generation] for generation in self._unopened}
        return [
            each for each in self._keys.values() if each.place == place and each not in unopened
        ]
