"""The dead letter: a record that was given up, with all that is known about why.

The format is public, `docs/errors.md` lists the headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from streamjobs import headers
from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.errors import ConfigurationError, StreamjobsError
from streamjobs.record import Record
from streamjobs.stacks import trace_of

__all__ = ("DeadLetter", "Death", "Letter", "NoLetterError", "read_letter", "write_letter")

SUFFIX: Final = ".dead"

MESSAGE_CHARACTERS: Final = 1_000
TRACEBACK_CHARACTERS: Final = 8_000
"""Beyond these, what an error says is cut: a letter has to fit into a Kafka record."""


class NoLetterError(StreamjobsError):
    """A record on a dead-letter topic that is no dead letter; says what is missing."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Where records go that were given up.

    Args:
        topic: the dead-letter topic; None for the record's own topic with `.dead` behind it.
        sequenced: later records of a key that has a letter there follow it, unattempted and in
            their order, until all letters of the key are replayed or purged. For keys whose
            later records make no sense without the earlier one.

    Raises:
        ConfigurationError: the topic has no name.
    """

    topic: str | None = None
    sequenced: bool = False

    def __post_init__(self) -> None:
        if self.topic is not None and not _is_topic(self.topic):
            raise ConfigurationError(f"DeadLetter(topic={self.topic!r}): a topic's name, or None")
        if self.sequenced not in (True, False):
            raise ConfigurationError(f"DeadLetter(sequenced={self.sequenced!r}): True or False")

    def topic_for(self, topic: str) -> str:
        """The dead-letter topic for records of this one."""
        return self.topic or topic + SUFFIX


@dataclass(frozen=True, slots=True)
class Death:
    """Why and when a record was given up.

    Attributes:
        group: the app, which is the consumer group.
        attempts: how many there were; 0 if it could not even be attempted.
        error: the class of the last error, with its module.
        message, traceback: what it said.
        first, last: seconds since the epoch of the first and the last failure.
        sequenced: whether later records of the key follow.
    """

    group: str
    attempts: int
    error: str
    message: str
    traceback: str
    first: float
    last: float
    sequenced: bool = False

    @classmethod
    def by(
        cls,
        error: BaseException,
        *,
        group: str,
        attempts: int,
        first: float,
        last: float,
        sequenced: bool = False,
    ) -> Death:
        """By this error."""
        kind = type(error)
        return cls(
            group,
            attempts,
            kind.__qualname__
            if kind.__module__ == "builtins"
            else f"{kind.__module__}.{kind.__qualname__}",
            _shortened(_text(error), MESSAGE_CHARACTERS),
            _trace(error),
            first,
            last,
            sequenced,
        )


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter that was read.

    Attributes:
        place: where the letter itself stands.
        offset: its offset there.
        record: the record as it was, at the place where it was.
        death: why it was given up.
    """

    place: TopicPartition
    offset: int
    record: Record
    death: Death

    @property
    def id(self) -> str:
        """`topic/partition/offset` of the letter."""
        return f"{self.place.topic}/{self.place.partition}/{self.offset}"


def write_letter(topic: str, partition: int, record: Record, death: Death) -> Message:
    """The message that buries a record: key, value and headers as they were, and what is known
    about its death in further headers.
    """
    told = {
        headers.DEAD_TOPIC: record.topic,
        headers.DEAD_PARTITION: str(record.partition),
        headers.DEAD_OFFSET: str(record.offset),
        headers.DEAD_TIMESTAMP: str(record.timestamp),
        headers.DEAD_GROUP: death.group,
        headers.DEAD_ATTEMPTS: str(death.attempts),
        headers.DEAD_ERROR: death.error,
        headers.DEAD_MESSAGE: death.message,
        headers.DEAD_TRACEBACK: death.traceback,
        headers.DEAD_FIRST: _moment(death.first),
        headers.DEAD_LAST: _moment(death.last),
    }
    if death.sequenced:
        told[headers.DEAD_SEQUENCED] = "1"
    added = [(name, text.encode(errors="backslashreplace")) for name, text in told.items()]
    return Message(topic, record.value, record.key, [*record.headers, *added], partition)


def read_letter(letter: Record) -> Letter:
    """A dead letter from its record. Headers that the record itself brought stay with it, even
    those of an earlier death: the last ones count.

    Raises:
        NoLetterError: it is none.
    """
    told = _told(letter)
    try:
        record = Record(
            told[headers.DEAD_TOPIC],
            int(told[headers.DEAD_PARTITION]),
            int(told[headers.DEAD_OFFSET]),
            letter.key,
            letter.value,
            letter.headers[: _begin_of_death(letter)],
            int(told[headers.DEAD_TIMESTAMP]),
        )
        death = Death(
            told[headers.DEAD_GROUP],
            int(told[headers.DEAD_ATTEMPTS]),
            told[headers.DEAD_ERROR],
            told[headers.DEAD_MESSAGE],
            told[headers.DEAD_TRACEBACK],
            datetime.fromisoformat(told[headers.DEAD_FIRST]).timestamp(),
            datetime.fromisoformat(told[headers.DEAD_LAST]).timestamp(),
            headers.DEAD_SEQUENCED in told,
        )
    except KeyError as error:
        raise NoLetterError(f"{letter.id} is no dead letter: no header {error.args[0]!r}") from None
    except ValueError as error:
        raise NoLetterError(f"{letter.id} is no dead letter: {error}") from None
    return Letter(TopicPartition(letter.topic, letter.partition), letter.offset, record, death)


def _begin_of_death(letter: Record) -> int:
    """Where in its headers the last death begins, which is told from `DEAD_TOPIC` on."""
    names = [name for name, _ in letter.headers]
    return len(names) - 1 - names[::-1].index(headers.DEAD_TOPIC)


def _told(letter: Record) -> Mapping[str, str]:
    if not any(name == headers.DEAD_TOPIC for name, _ in letter.headers):
        return {}
    return {
        name: (text or b"").decode(errors="replace")
        for name, text in letter.headers[_begin_of_death(letter) :]
    }


def _is_topic(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name) is not None


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:
        return f"<its message cannot be read: {failure!r}>"


def _trace(error: BaseException) -> str:
    """The end of it, where it was raised, is what helps."""
    try:
        text = trace_of(error)
    except Exception as failure:
        return f"<it cannot be shown: {failure!r}>"
    return text if len(text) <= TRACEBACK_CHARACTERS else "..." + text[-TRACEBACK_CHARACTERS:]


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[:characters] + "..."
