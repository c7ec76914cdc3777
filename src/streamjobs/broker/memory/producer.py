"""A producer in memory: it writes at once, and tells later, as Kafka's does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from streamjobs.broker.memory.cluster import MESSAGE_LIMIT, MemoryCluster
from streamjobs.broker.memory.faults import Process
from streamjobs.broker.ports import Delivery, Message, Producer
from streamjobs.record import Record

__all__ = ("Done", "MemoryProducer")

Done = Callable[[Delivery], None]


class MemoryProducer(Producer):
    """Deliveries are told in `poll` and `flush`, in the order of the sends."""

    def __init__(self, cluster: MemoryCluster, process: Process) -> None:
        self._cluster = cluster
        self._process = process
        self._deliveries: deque[tuple[Done | None, Delivery]] = deque()

    def send(self, message: Message, done: Done | None = None) -> None:
        with self._cluster.changing():  # so that deliveries have the order of the log
            self._deliveries.append((done, self._deliver(message)))

    def poll(self, timeout: float) -> None:
        seen = self._cluster.changes
        if not self._tell() and self._cluster.wait(seen, timeout):
            self._tell()

    def flush(self, timeout: float) -> int:
        while self._tell():  # `done` may have sent more
            pass
        return len(self._deliveries)

    def _deliver(self, message: Message) -> Delivery:
        fate = self._process.fate_of_send()
        if not fate.applied:
            partition = -1 if message.partition is None else message.partition
            return Delivery(message.topic, partition, -1, fate.error)
        size = len(message.key or b"") + len(message.value or b"")
        if size > (limit := self._cluster.largest(message.topic)) and size <= MESSAGE_LIMIT:
            why = f"MSG_SIZE_TOO_LARGE: {size} bytes, and {message.topic!r} takes {limit}"
            return Delivery(message.topic, message.partition or 0, -1, why, refused=True)
        record = self._append(message)
        return Delivery(record.topic, record.partition, record.offset, fate.error)

    def _append(self, message: Message) -> Record:
        return self._cluster.append(message)

    def _tell(self) -> int:
        """Call `done` for what is known by now; returns for how many messages."""
        told = 0
        for _ in range(len(self._deliveries)):
            if self._process.faults.answers_held or not self._process.alive:
                break
            try:
                done, delivery = self._deliveries.popleft()
            except IndexError:  # another thread was faster
                break
            told += 1
            if done is not None:
                done(delivery)
        return told
