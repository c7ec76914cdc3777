"""Marks: notes about the letters of a dead-letter partition, written behind them on the same
partition. What a replay has begun and ended and what was purged is known from these alone.

The format is public, `docs/errors.md` describes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from streamjobs import headers
from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.errors import StreamjobsError
from streamjobs.record import Record

__all__ = ("Intent", "Mark", "NoMarkError", "Purged", "Replayed", "read_mark", "write_mark")


class NoMarkError(StreamjobsError):
    """A record that looks like a mark and cannot be read as one; says what is wrong."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A replay is about to send these letters.

    Attributes:
        replay: its id.
        offsets: the letters, by their offsets on this partition.
        ends: where each partition they go to ended before the first of them was sent: none of
            them can be found before that.
    """

    replay: str
    offsets: Sequence[int]
    ends: Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Replayed:
    """These letters have arrived. Of the letters of this replay's intent, the others have not."""

    replay: str
    offsets: Sequence[int]


@dataclass(frozen=True, slots=True)
class Purged:
    """These letters are given up for good."""

    offsets: Sequence[int]


Mark = Intent | Replayed | Purged

_INTENT: Final = b"intent"
_REPLAYED: Final = b"replayed"
_PURGED: Final = b"purged"


def write_mark(place: TopicPartition, mark: Mark) -> Message:
    """The message that notes it on this dead-letter partition."""
    kind, body = _content(mark)
    value = orjson.dumps(body)
    return Message(place.topic, value, None, [(headers.DEAD_MARK, kind)], place.partition)


def _content(mark: Mark) -> tuple[bytes, dict[str, Any]]:
    offsets = list(mark.offsets)
    match mark:
        case Intent(replay, _, ends):
            told = {f"{topic}/{partition}": end for (topic, partition), end in ends.items()}
            return _INTENT, {"replay": replay, "offsets": offsets, "ends": told}
        case Replayed(replay):
            return _REPLAYED, {"replay": replay, "offsets": offsets}
        case Purged():
            return _PURGED, {"offsets": offsets}


def read_mark(record: Record) -> Mark | None:
    """The mark that a record is; None where it is something else.

    Raises:
        NoMarkError: it is damaged, or of a kind that a later version may know.
    """
    kind = record.header(headers.DEAD_MARK)
    # A letter may have brought this header along: its record was a mark that some app consumed.
    if kind is None or record.header(headers.DEAD_TOPIC) is not None:
        return None
    try:
        body = orjson.loads(record.value or b"")
        offsets = tuple(map(_number, body["offsets"]))
        if kind == _INTENT:
            ends = {_place(name): _number(end) for name, end in body["ends"].items()}
            return Intent(str(body["replay"]), offsets, ends)
        if kind == _REPLAYED:
            return Replayed(str(body["replay"]), offsets)
        if kind == _PURGED:
            return Purged(offsets)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NoMarkError(f"{record.id} is a damaged mark: {error!r}") from None
    raise NoMarkError(f"{record.id} is a mark of an unknown kind: {kind!r}")


def _place(name: str) -> TopicPartition:
    topic, _, partition = name.rpartition("/")
    return TopicPartition(topic, int(partition))


def _number(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no offset")
    return value
