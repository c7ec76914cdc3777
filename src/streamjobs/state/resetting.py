"""Beginning without state: what the changelogs and the commits of a group say of it is taken back.

Each entry of a changelog gets a tombstone; the topic stays, with its partitions and settings, and
its offsets go on: so a store on another machine, which knows the changelog up to some offset, finds
the tombstones behind it. In a topic that is made anew it would find nothing, and keep what it has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from streamjobs.asking import ASK_WITHIN
from streamjobs.broker.ports import (
    Broker,
    Commit,
    Delivery,
    Message,
    Producer,
    Reader,
    TopicPartition,
)
from streamjobs.engine import completion_map
from streamjobs.engine.completion_map import UnreadableMetadataError
from streamjobs.engine.notes import forget_changelog_ends
from streamjobs.errors import DeliveryError, StreamjobsError
from streamjobs.record import Record
from streamjobs.state.store import StoreId

__all__ = ("Reset", "Target", "reset", "tombstones", "without_ends")

BATCH: Final = 2_000
POLL: Final = 0.1
WRITTEN_WITHIN: Final = 60.0
SILENT_FOR: Final = 30.0


class Target(NamedTuple):
    """Where the changes of a store are, and which of its topic's stores it is.

    Attributes:
        changelog: None if there is none.
        place: by the order of the names of all stores of the topic.
    """

    changelog: TopicPartition | None
    place: int


class Reset(NamedTuple):
    """What was done: tombstones written, and commits that were amended."""

    tombstones: int
    commits: int


def reset(
    broker: Broker,
    group: str,
    targets: Mapping[StoreId, Target],
    *,
    consumer_config: Mapping[str, Any],
    producer_config: Mapping[str, Any],
) -> Reset:
    """Empty the changelogs of these stores, and have the group's commits say nothing of their ends.
    What is complete stays complete.

    Raises:
        GroupActiveError: the app runs; nothing was changed.
        StreamjobsError: the broker does not do its part, or the app was started meanwhile. Do it
            again: what is done already stays done.
    """
    places = _places(targets)
    commits = broker.committed(group, list(places), ASK_WITHIN)
    amended = [without_ends(each, places[each.partition]) for each in commits]
    # First, and with those that stay as they are: it is refused while the app runs.
    broker.amend(group, amended, ASK_WITHIN)
    reader, producer = broker.reader(consumer_config), broker.producer(producer_config)
    try:
        written = sum(
            _empty(reader, producer, target.changelog)
            for target in targets.values()
            if target.changelog is not None
        )
    finally:
        reader.close()
    _check_that_nobody_came(broker, group, amended)
    changed = sum(before != after for before, after in zip(commits, amended, strict=True))
    return Reset(written, changed)


def without_ends(commit: Commit, stores: Collection[int]) -> Commit:
    """The same progress, without a word of how far the changelogs of these stores reached."""
    try:
        runs, fields = completion_map.decode(commit.offset, commit.metadata)
    except UnreadableMetadataError:
        return commit  # nobody reads an end out of it
    left = forget_changelog_ends(fields, stores)
    if left == fields:
        return commit
    return commit._replace(metadata=completion_map.encode(commit.offset, runs, left))


def tombstones(reader: Reader, changelog: TopicPartition) -> list[Message]:
    """One for each key that has a value, with the headers of that one: they say what it belongs to.

    Raises:
        StreamjobsError: the changelog cannot be read to its end.
    """
    topic, partition = changelog
    live: dict[bytes | None, Message] = {}
    for record in _records(reader, changelog):
        if record.value is None:
            live.pop(record.key, None)
        else:
            live[record.key] = Message(topic, None, record.key, record.headers, partition)
    return list(live.values())


def _records(reader: Reader, changelog: TopicPartition) -> Iterator[Record]:
    start, end = reader.range(changelog, ASK_WITHIN)
    if start >= end:
        return
    reader.seek(changelog, start)
    at, silent = start, 0.0
    while at < end and not reader.at_end(changelog):
        batches = reader.poll(BATCH, POLL)
        silent = 0.0 if batches else silent + POLL
        if silent > SILENT_FOR:
            raise StreamjobsError(f"{changelog} cannot be read behind {at}; it ends at {end}")
        for _, records in batches:
            at = records[-1].offset + 1
            yield from records
    reader.stop(changelog)


def _empty(reader: Reader, producer: Producer, changelog: TopicPartition) -> int:
    written = tombstones(reader, changelog)
    problems: list[str] = []

    def answered(delivery: Delivery) -> None:
        if delivery.error is not None:
            problems.append(delivery.error)

    for message in written:
        producer.send(message, answered)
        producer.poll(0)
    if producer.flush(WRITTEN_WITHIN):
        problems.append("the broker does not answer")
    if problems:
        raise DeliveryError(f"{changelog} is not empty yet ({problems[0]}): do it again")
    return len(written)


def _places(targets: Mapping[StoreId, Target]) -> dict[TopicPartition, set[int]]:
    found: dict[TopicPartition, set[int]] = {}
    for store, target in targets.items():
        partition = TopicPartition(store.topic, store.partition)
        found.setdefault(partition, set()).add(target.place)
    return found


def _check_that_nobody_came(broker: Broker, group: str, amended: Sequence[Commit]) -> None:
    """What an app has kept while it was done may be only half of the truth."""
    now = broker.committed(group, [each.partition for each in amended], ASK_WITHIN)
    if list(now) != list(amended):
        raise StreamjobsError(
            f"group {group!r} has committed meanwhile: stop all processes of the app, and do it "
            "again"
        )
