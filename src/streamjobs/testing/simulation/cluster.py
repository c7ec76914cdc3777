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
    """Writes down what is sent, what vanishes, and what random scenarios emitted."""

    def __init__(
        self,
        topics: Mapping[str, int],
        routes: Mapping[str, Route],
        clock: VirtualClock,
        write: Callable[[Event], None],
    ) -> None:
        super().__init__(topics, blocking=False, clock=clock)
        self._routes = routes
        self._virtual = clock
        self._write = write

    def append(self, message: Message) -> Record:
        record = super().append(message)
        place = TopicPartition(record.topic, record.partition)
        route = self._routes.get(record.topic)
        if route is not None:
            order = order_of(route, record)
            self._write(Sent(self._virtual.now, place, record.offset, order))
        elif record.topic == OUTPUT and not message.headers:
            topic, partition, offset = (record.value or b"").decode().rsplit("/", 2)
            source = TopicPartition(topic, int(partition))
            self._write(Delivered(self._virtual.now, source, int(offset)))
        return record

    def delete(self, topic: str, partition: int, offset: int) -> None:
        super().delete(topic, partition, offset)
        self._write(Removed(self._virtual.now, TopicPartition(topic, partition), offset))

    def truncate(self, topic: str, partition: int, before: int) -> None:
        log = self.log(topic, partition)
        gone = [record.offset for record in log.records if record.offset < before]
        super().truncate(topic, partition, before)
        for offset in gone:
            self._write(Removed(self._virtual.now, log.partition, offset))
