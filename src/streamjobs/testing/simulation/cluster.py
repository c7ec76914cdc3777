"""The cluster of a world: every record that is written to it is an event."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from streamjobs import headers
from streamjobs.broker.memory import MemoryCluster
from streamjobs.broker.memory.group import Membership
from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.engine import completion_map
from streamjobs.engine.route import Route
from streamjobs.errors import RecordGoneError
from streamjobs.record import Header, Record
from streamjobs.state.codec import decode
from streamjobs.state.entries import entry_key, split_key
from streamjobs.testing.history import (
    Buried,
    Checkpointed,
    Counts,
    Delivered,
    Event,
    Removed,
    Sent,
)
from streamjobs.testing.recorder import order_text
from streamjobs.testing.simulation.clock import VirtualClock
from streamjobs.testing.simulation.scenario import COUNT, OUTPUT, key_of, order_of

__all__ = ("ObservedCluster",)

GONE: Final = f"{RecordGoneError.__module__}.{RecordGoneError.__qualname__}"
"""The letter of a record that was taken from the log before it could be read again has nothing of
it."""


class ObservedCluster(MemoryCluster):
    """Writes down what is sent, what vanishes, what is buried, and what random scenarios emitted.

    Args:
        topics: partitions by topic. One that is missing is made when it is first written to, as
            an app does it with the setting `topics="create"`.
        routes: by topic, for the ordering keys of what is sent.
        clock: virtual seconds.
        write: takes each event.
        partitions: of topics that are made on the way.
        dead_letters: the topics of dead letters.

    Attributes:
        writer: the member that writes just now, "" for somebody else.
    """

    def __init__(
        self,
        topics: Mapping[str, int],
        routes: Mapping[str, Route],
        clock: VirtualClock,
        write: Callable[[Event], None],
        partitions: int = 1,
        dead_letters: Collection[str] = (),
    ) -> None:
        super().__init__(topics, blocking=False, clock=clock)
        self._routes = routes
        self._virtual = clock
        self._write = write
        self._partitions = partitions
        self._dead_letters = frozenset(dead_letters)
        self._sent: dict[tuple[TopicPartition, int], tuple[Record, str | None]] = {}
        self._gone: set[tuple[TopicPartition, int]] = set()
        self._changelogs = {
            changelog: topic
            for topic, route in routes.items()
            for changelog in route.changelogs.values()
        }
        self._counts: dict[TopicPartition, dict[str, int]] = {}
        self._changed: dict[TopicPartition, None] = {}
        self._checkpoints: dict[TopicPartition, tuple[int, str, Counts]] = {}
        self.writer = ""

    def append(self, message: Message) -> Record:
        if message.topic not in self.topics():
            self.create(message.topic, self._partitions)
        record = super().append(message)
        self._tell(record)
        return record

    def published(self, records: Sequence[Record]) -> None:
        for record in records:
            self._tell(record)

    def _tell(self, record: Record) -> None:
        if record.topic in self._dead_letters:
            self._tell_buried(record)
        route = self._routes.get(record.topic)
        if route is not None:
            self._tell_sent(route, record)
        elif record.topic == OUTPUT:
            self._tell_delivered(record)
        elif record.topic in self._changelogs:
            place = TopicPartition(self._changelogs[record.topic], record.partition)
            self._changed[place] = None
            count_into(self._counts.setdefault(place, {}), record.key, record.value)

    def counts(self, partition: TopicPartition) -> Counts:
        """What the state of a partition says, to who reads what is committed."""
        return tuple(sorted(self._counts.get(partition, {}).items()))

    def changelog(self, partition: TopicPartition) -> Sequence[Record]:
        """The records of the changelog of a partition that can be read."""
        (changelog,) = self._routes[partition.topic].changelogs.values()
        log = self.log(changelog, partition.partition)
        return [record for record in log.records if record.offset < log.stable]

    def rejoined(self, membership: object | None) -> object | None:
        """What a membership has become, where the client joins again by itself."""
        if not isinstance(membership, Membership):
            return membership
        group, member, _ = membership
        if not group.has(member):
            member = next(iter(group.members.values()), member)
        return Membership(group, member, group.generation)

    def tell_checkpoints(self, group: str, partitions: Collection[TopicPartition]) -> None:
        """A transaction that commits these has ended, in whichever way."""
        places = self._changed | dict.fromkeys(partitions)
        self._changed = {}
        for place in places:
            offset, metadata = self.committed(group, *place) or (0, "")
            now = offset, metadata, self.counts(place)
            if self._checkpoints.get(place, (0, "", ())) != now:
                self._checkpoints[place] = now
                runs = tuple(completion_map.decode(offset, metadata).runs)
                self._write(
                    Checkpointed(self._virtual.now, self.writer, place, offset, runs, now[2])
                )

    def _tell_sent(self, route: Route, record: Record) -> None:
        place = TopicPartition(record.topic, record.partition)
        order = order_of(route, record)
        self._sent[place, record.offset] = record, order
        self._write(Sent(self._virtual.now, place, record.offset, order, key_of(route, record)))

    def _tell_buried(self, letter: Record) -> None:
        """Where there is something else on the topic (a mark, a record of another app), nothing
        is told.
        """
        source = _source(letter)
        if source is None or source not in self._sent:
            return
        record, order = self._sent[source]
        error = (letter.header(headers.DEAD_ERROR) or b"").decode()
        self._write(
            Buried(
                self._virtual.now,
                self.writer,
                source[0],
                record.offset,
                order,
                TopicPartition(letter.topic, letter.partition),
                letter.offset,
                int(letter.header(headers.DEAD_ATTEMPTS) or b"0"),
                error,
                None if error == GONE and source in self._gone else _changed(record, letter),
            )
        )

    def _tell_delivered(self, record: Record) -> None:
        """Random scenarios emit the id of a record; an app may well have a topic of that name."""
        parts = (record.value or b"").decode(errors="replace").rsplit("/", 2)
        if len(parts) == 3 and parts[0] in self._routes:
            source = TopicPartition(parts[0], int(parts[1]))
            offset, _, number = parts[2].partition(" ")
            self._write(
                Delivered(self._virtual.now, source, int(offset), int(number or "0"), record.offset)
            )

    def delete(self, topic: str, partition: int, offset: int) -> None:
        super().delete(topic, partition, offset)
        self._tell_removed(TopicPartition(topic, partition), offset)

    def truncate(self, topic: str, partition: int, before: int) -> None:
        log = self.log(topic, partition)
        gone = [record.offset for record in log.records if record.offset < before]
        super().truncate(topic, partition, before)
        for offset in gone:
            self._tell_removed(log.partition, offset)

    def _tell_removed(self, partition: TopicPartition, offset: int) -> None:
        self._gone.add((partition, offset))
        self._write(Removed(self._virtual.now, partition, offset))


def count_into(counts: dict[str, int], key: bytes | None, value: bytes | None) -> None:
    """Take in an entry of a store, if it is a count; other apps keep other things."""
    if not (key or b"").endswith(entry_key(b"", COUNT)):
        return
    owner, name = split_key(key or b"")
    if name == COUNT:
        counts[order_text(owner) or ""] = 0 if value is None else decode(value)


def _source(letter: Record) -> tuple[TopicPartition, int] | None:
    """Whose letter it is. Taken from the headers as they are, not by the code that reads letters
    for users.
    """
    told = [
        (letter.header(name) or b"").decode(errors="replace")
        for name in (headers.DEAD_TOPIC, headers.DEAD_PARTITION, headers.DEAD_OFFSET)
    ]
    topic, partition, offset = told
    if not partition.isdecimal() or not offset.isdecimal():
        return None
    return TopicPartition(topic, int(partition)), int(offset)


def _changed(record: Record, letter: Record) -> str | None:
    """What of a record is not in its letter as it was."""
    if letter.key != record.key:
        return "key"
    if letter.value != record.value:
        return "value"
    own: list[Header] = list(record.headers)
    kept, added = list(letter.headers[: len(own)]), letter.headers[len(own) :]
    foreign = [name for name, _ in added if not name.startswith(headers.DEAD)]
    return "headers" if kept != own or foreign else None
