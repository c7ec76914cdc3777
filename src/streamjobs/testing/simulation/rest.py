"""Whether a group is through with a partition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streamjobs.broker.memory import MemoryCluster
from streamjobs.broker.ports import TopicPartition
from streamjobs.engine import completion_map
from streamjobs.engine.route import Route
from streamjobs.record import Record
from streamjobs.testing.simulation.scenario import order_of

__all__ = ("is_committed", "is_committed_but")


def is_committed(cluster: MemoryCluster, group: str, partition: TopicPartition) -> bool:
    """Whether the committed offset is behind the last record."""
    log = cluster.log(*partition)
    committed = cluster.committed(group, *partition)
    reached = committed.offset if committed else log.start
    return all(record.offset < reached for record in log.records[-1:])


def is_committed_but(
    cluster: MemoryCluster,
    group: str,
    partition: TopicPartition,
    routes: Mapping[str, Route],
    held: Mapping[int, str | None],
) -> bool:
    """Whether all is committed, as the frontier or in the completion map, but for records that
    hold their key for good (by offset, with the order of each) and those behind them.
    """
    route = routes[partition.topic]
    return all(
        record.offset in held or _stands_behind(held, record.offset, order_of(route, record))
        for record in _uncommitted(cluster, group, partition)
    )


def _stands_behind(held: Mapping[int, str | None], offset: int, order: str | None) -> bool:
    return order is not None and any(
        each < offset and order == other for each, other in held.items()
    )


def _uncommitted(cluster: MemoryCluster, group: str, partition: TopicPartition) -> Iterator[Record]:
    log = cluster.log(*partition)
    committed = cluster.committed(group, *partition)
    reached, metadata = (committed.offset, committed.metadata) if committed else (log.start, "")
    runs = list(completion_map.decode(reached, metadata).runs)
    for record in log.records:
        offset = record.offset
        if offset >= reached and not any(at <= offset < at + length for at, length in runs):
            yield record
