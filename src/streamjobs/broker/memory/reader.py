"""A reader in memory: it belongs to no group, and goes where it is told."""

from __future__ import annotations

from collections.abc import Sequence

from streamjobs.broker.memory.cluster import MemoryCluster
from streamjobs.broker.memory.faults import Process
from streamjobs.broker.ports import Batch, LogRange, Reader, TopicPartition
from streamjobs.errors import TopicError
from streamjobs.record import Record

__all__ = ("MemoryReader",)


class MemoryReader(Reader):
    """Fetches nothing ahead, so there is nothing to forget when it is sent elsewhere."""

    def __init__(self, cluster: MemoryCluster, process: Process) -> None:
        self._cluster = cluster
        self._process = process
        self._next: dict[TopicPartition, int] = {}
        self._ended: set[TopicPartition] = set()
        self._closed = False

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._next[partition] = offset
        self._ended.discard(partition)

    def stop(self, partition: TopicPartition) -> None:
        self._next.pop(partition, None)
        self._ended.discard(partition)

    def poll(self, limit: int, timeout: float) -> Sequence[Batch]:
        if self._closed:
            raise RuntimeError("this reader is closed")
        return self._cluster.look_for(lambda: self._fetch(limit), timeout if limit else 0)

    def at_end(self, partition: TopicPartition) -> bool:
        return partition in self._ended

    def range(self, partition: TopicPartition, timeout: float) -> LogRange:
        with self._cluster.changed:
            self._process.reach()
            self._cluster.heed_time()
            log = self._cluster.find(partition)
            return LogRange(log.start, log.stable)

    def close(self) -> None:
        self._closed = True

    def _fetch(self, limit: int) -> list[Batch]:
        batches: list[Batch] = []
        if not self._process.connected:
            return batches
        self._cluster.heed_time()
        with self._cluster.changed:
            for partition in list(self._next):
                if limit and (records := self._read(partition, limit)):
                    batches.append(Batch(partition, records))
                    limit -= len(records)
        return batches

    def _read(self, partition: TopicPartition, limit: int) -> list[Record]:
        try:
            log = self._cluster.find(partition)
        except TopicError:
            return []
        position = self._next[partition]
        records: list[Record] = []
        if position <= log.end:  # behind it, `Log.read` would start over
            records, position = log.read(position, limit)
            # To the back of the line, so that a long log does not starve the others.
            del self._next[partition]
            self._next[partition] = position
        if position >= log.stable:
            self._ended.add(partition)
        else:
            self._ended.discard(partition)
        return records
