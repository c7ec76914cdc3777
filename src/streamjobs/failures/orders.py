"""What order the record of a letter belongs to, as its app would keep it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

from streamjobs.failures.journal import Order
from streamjobs.failures.letters import Letter
from streamjobs.job_route import carried_key
from streamjobs.partitioning import key_bytes, virtual_partition_for
from streamjobs.policies import VirtualPartitions
from streamjobs.record import Record

if TYPE_CHECKING:
    from streamjobs.routes import Topic

__all__ = ("order_of",)


def order_of(topics: Mapping[str, Topic]) -> Order:
    """The order of letters, by what these topics of an app declare. A topic that is not among
    them has the order of its keys: too much order does no harm.
    """

    def order(letter: Letter) -> Hashable | None:
        record = letter.record
        topic = topics.get(record.topic)
        policy = VirtualPartitions() if topic is None else topic.virtual_partitions
        is_stream = topic is not None and topic.stream is not None
        if policy.ordering == "none":
            return None
        if policy.count == 1:
            return record.topic, record.partition
        key = _key(record, policy, is_stream)
        if key is None:
            return None
        kept = key if policy.ordering == "key" else virtual_partition_for(key, policy.count)
        return record.topic, record.partition, kept

    return order


def _key(record: Record, policy: VirtualPartitions, is_stream: bool) -> bytes | None:
    if policy.partitioner is None:
        return record.key if is_stream else carried_key(record)
    try:
        return key_bytes(policy.partitioner(record))
    except Exception:
        return None  # it died of this very error, and then had no order
