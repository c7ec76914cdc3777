"""The cluster of a world: every record that is written to it is an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streamjobs.broker.memory import MemoryCluster
from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.engine.route import Route
from streamjobs.record import Record
from streamjobs.testing.history import Delivered, Event, Removed, Sent
from streamjobs.testing.simulation.clock import VirtualClock
from streamjobs.testing.simulation.scenario import OUTPUT, order_of

__all__ = ("ObservedCluster",)


class ObservedCluster(MemoryCluster):
    """Writes down what is sent, what vanishes, and what random scenarios emitted.

    Args:
        topics: partitions by topic. One that is missing is made when it is first written to, as
            an app does it with the setting `topics="create"`.
        routes: by topic, for the ordering keys of what is sent.
        clock: virtual seconds.
        write: takes each event.
        partitions: of topics that are made on the way.
    """

    def __init__(
        self,
        topics: Mapping[str, int],
        routes: Mapping[str, Route],
        clock: VirtualClock,
        write: Callable[[Event], None],
        partitions: int = 1,
    ) -> None:
        super().__init__(topics, blocking=False, clock=clock)
        self._routes = routes
        self._virtual = clock
        self._write = write
        self._partitions = partitions

    def append(self, message: Message) -> Record:
        if message.topic not in self.topics():
            self.create(message.topic, self._partitions)
        record = super().append(message)
        place = TopicPartition(record.topic, record.partition)
        route = self._routes.get(record.topic)
        if route is not None:
            order = order_of(route, record)
            self._write(Sent(self._virtual.now, place, record.offset, order))
        elif record.topic == OUTPUT:
            self._tell_delivered(record)
        return record

    def _tell_delivered(self, record: Record) -> None:
        """Random scenarios emit the id of a record; an app may well have a topic of that name."""
        parts = (record.value or b"").decode(errors="replace").rsplit("/", 2)
        if len(parts) == 3 and parts[0] in self._routes:
            source = TopicPartition(parts[0], int(parts[1]))
            self._write(Delivered(self._virtual.now, source, int(parts[2])))

    def delete(self, topic: str, partition: int, offset: int) -> None:
        super().delete(topic, partition, offset)
        self._write(Removed(self._virtual.now, TopicPartition(topic, partition), offset))

    def truncate(self, topic: str, partition: int, before: int) -> None:
        log = self.log(topic, partition)
        gone = [record.offset for record in log.records if record.offset < before]
        super().truncate(topic, partition, before)
        for offset in gone:
            self._write(Removed(self._virtual.now, log.partition, offset))
