"""A letter's record, to be sent again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streamjobs import headers
from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.errors import DeliveryError, RecordGoneError
from streamjobs.failures.letters import Letter
from streamjobs.job_route import carried_key
from streamjobs.partitioning import partition_for
from streamjobs.record import Record

__all__ = ("letter_of", "resend")

_OURS: Final = {headers.REPLAY, headers.REPLAY_OF}
_GONE: Final = f"{RecordGoneError.__module__}.{RecordGoneError.__qualname__}"


def resend(letter: Letter, replay: str, counts: Mapping[str, int]) -> Message:
    """The record as it was, to the topic and partition where it was; further headers say of which
    letter and in which replay. Those of an earlier replay are left out.

    Args:
        letter: of which record.
        replay: the replay's id.
        counts: the topics there are, and how many partitions each has.

    Raises:
        DeliveryError: it cannot be sent; says why.
    """
    record = letter.record
    if letter.death.error == _GONE:
        raise DeliveryError("the record was gone before it could be read: purge this letter")
    count = counts.get(record.topic, 0)
    if not count:
        raise DeliveryError(f"there is no topic {record.topic!r} any more")
    told = [
        *(pair for pair in record.headers if pair[0] not in _OURS),
        (headers.REPLAY_OF, letter.id.encode()),
        (headers.REPLAY, replay.encode()),
    ]
    return Message(record.topic, record.value, record.key, told, _partition(record, count))


def _partition(record: Record, count: int) -> int:
    """Where it was, since the order of keys is kept per partition. Where there is no such
    partition any more, its key has moved, too.
    """
    if record.partition < count:
        return record.partition
    key = carried_key(record)
    return record.partition % count if key is None else partition_for(key, count)


def letter_of(record: Record) -> tuple[TopicPartition, int] | None:
    """The letter that a record was replayed from; None if it was not."""
    name = record.header(headers.REPLAY_OF)
    if name is None:
        return None
    topic, _, rest = name.decode(errors="replace").partition("/")
    partition, _, offset = rest.partition("/")
    try:
        return TopicPartition(topic, int(partition)), int(offset)
    except ValueError:
        return None
