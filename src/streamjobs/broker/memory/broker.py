"""One process's way to reach a cluster in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from streamjobs.broker.memory.cluster import MemoryCluster
from streamjobs.broker.memory.consumer import MemoryConsumer
from streamjobs.broker.memory.faults import Faults
from streamjobs.broker.memory.producer import MemoryProducer
from streamjobs.broker.memory.reader import MemoryReader
from streamjobs.broker.memory.transactions import MemoryTransactions
from streamjobs.broker.ports import (
    Broker,
    Commit,
    ConsumerOptions,
    Listener,
    TopicPartition,
    TopicSpec,
)

__all__ = ("MemoryBroker",)


class MemoryBroker(Broker):
    """All clients of one process. `name` is what `MemoryCluster.kill` knows it by; its first
    consumer has the same name, the next ones `<name>-2`, `<name>-3`.

    Attributes:
        faults: what goes wrong for this process: its own `faults`, or those of the cluster.
    """

    def __init__(
        self,
        cluster: MemoryCluster | None = None,
        name: str | None = None,
        faults: Faults | None = None,
    ) -> None:
        self._cluster = cluster or MemoryCluster()
        self._process = self._cluster.process(name, faults)
        self._consumers = 0
        self.faults = self._process.faults

    @property
    def name(self) -> str:
        """What this process is called in the cluster."""
        return self._process.name

    @property
    def address(self) -> str:
        return f"memory/{self.name}"

    def topics(self, timeout: float) -> Mapping[str, int]:
        self._process.reach()
        return self._cluster.topics()

    def create_topics(self, topics: Sequence[TopicSpec], timeout: float) -> None:
        self._process.reach()
        for topic in topics:
            self._cluster.create(topic.name, topic.partitions, topic.config)

    def largest_batches(self, topics: Collection[str], timeout: float) -> Mapping[str, int]:
        known = self._cluster.topics()
        return {topic: self._cluster.largest(topic) for topic in topics if topic in known}

    def consumer(self, options: ConsumerOptions, listener: Listener) -> MemoryConsumer:
        self._consumers += 1
        name = self.name if self._consumers == 1 else f"{self.name}-{self._consumers}"
        return MemoryConsumer(self._cluster, self._process, name, options, listener)

    def producer(self, extra: Mapping[str, Any]) -> MemoryProducer:
        return MemoryProducer(self._cluster, self._process)

    def transactions(
        self, transactional_id: str, timeout: float, extra: Mapping[str, Any]
    ) -> MemoryTransactions:
        return MemoryTransactions(self._cluster, self._process, transactional_id, timeout)

    def reader(self, extra: Mapping[str, Any]) -> MemoryReader:
        return MemoryReader(self._cluster, self._process)

    def committed(
        self, group: str, partitions: Sequence[TopicPartition], timeout: float
    ) -> Sequence[Commit]:
        self._process.reach()
        return self._cluster.commits(group, partitions)

    def amend(self, group: str, commits: Sequence[Commit], timeout: float) -> None:
        self._process.reach()
        self._cluster.amend(group, commits)

    def delete_records(self, before: Mapping[TopicPartition, int], timeout: float) -> None:
        self._process.reach()
        for partition, offset in before.items():
            self._cluster.delete_records(partition, offset)

    def close(self) -> None:
        """Nothing to let go of: the cluster lives as long as somebody refers to it."""
