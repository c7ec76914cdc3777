"""Who gets which partition: sticky, balanced, and the same in every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from streamjobs.broker.ports import TopicPartition

__all__ = ("copartitioned", "rotated", "sticky")

Owners = dict[TopicPartition, str]


def sticky(
    candidates: Mapping[TopicPartition, Sequence[str]], owners: Mapping[TopicPartition, str]
) -> Owners:
    """Give each partition to one of its candidates, moving as few as balance allows.

    Among the equally loaded the one that joined first is chosen (the order of `candidates`).
    """
    target = {p: owners[p] for p, names in candidates.items() if owners.get(p) in names}
    load = Counter(target.values())

    def least_loaded(partition: TopicPartition) -> str:
        return min(candidates[partition], key=lambda name: load[name])

    def give(partition: TopicPartition, name: str) -> None:
        target[partition] = name
        load[name] += 1

    ordered = sorted(candidates)
    for partition in ordered:
        if partition not in target:
            give(partition, least_loaded(partition))
    # Each move makes the loads more equal, so this ends.
    while movable := [p for p in ordered if load[target[p]] - load[least_loaded(p)] > 1]:
        partition = max(movable, key=lambda p: (load[target[p]], p))
        load[target[partition]] -= 1
        give(partition, least_loaded(partition))
    return target


def rotated(owners: Mapping[TopicPartition, str], shift: int) -> Owners:
    """The same shares in other places: within each topic, owners move on by `shift`."""
    moved: Owners = {}
    for topic in sorted({partition.topic for partition in owners}):
        partitions = sorted(p for p in owners if p.topic == topic)
        for index, partition in enumerate(partitions):
            moved[partition] = owners[partitions[(index + shift) % len(partitions)]]
    return moved


def copartitioned(owners: Mapping[TopicPartition, str]) -> Owners:
    """Partitions of the same number go where that of the first topic goes."""
    first = {partition.partition: owners[partition] for partition in sorted(owners, reverse=True)}
    return {partition: first[partition.partition] for partition in owners}
