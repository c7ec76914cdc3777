"""Which letters are meant: the filters that all `dlq` commands share."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final

from streamjobs import headers
from streamjobs.errors import ConfigurationError, UndecodableRecordError
from streamjobs.failures.letters import Letter
from streamjobs.record import Record
from streamjobs.wire import job_name, open_envelope

__all__ = ("Selection", "job_of", "parse_moment")

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")


@dataclass(frozen=True, slots=True)
class Selection:
    """Letters for which all of this holds; None means that it does not matter.

    Args:
        job, topic, group: patterns as in file names (`*`, `?`, `[...]`) of the job, the topic
            that the record was on, and the app that gave it up.
        error: the same of the class of the error, with its module or without.
        key: the message key or the ordering key, as text.
        since, until: seconds since the epoch that the last failure lies between.
        ids: letters by their own places.
    """

    job: str | None = None
    error: str | None = None
    key: str | None = None
    topic: str | None = None
    group: str | None = None
    since: float | None = None
    until: float | None = None
    ids: Collection[str] | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether this letter is meant."""
        record, death = letter.record, letter.death
        return (
            (self.ids is None or letter.id in self.ids)
            and _fits(self.topic, record.topic)
            and _fits(self.group, death.group)
            and _fits(self.error, death.error, death.error.rpartition(".")[2])
            and (self.since is None or death.last >= self.since)
            and (self.until is None or death.last <= self.until)
            and (self.key is None or self.key.encode() in _keys(record))
            and (self.job is None or _fits(self.job, job_of(record) or ""))
        )


def _fits(pattern: str | None, *names: str) -> bool:
    return pattern is None or any(fnmatchcase(name, pattern) for name in names)


def _keys(record: Record) -> tuple[bytes | None, bytes | None]:
    return record.key, record.header(headers.ORDERING_KEY)


def job_of(record: Record) -> str | None:
    """The job that a record asks for, if it is one."""
    name = job_name(record)
    if name is None:
        try:
            return open_envelope(record).job
        except UndecodableRecordError:
            return None
    return name


def parse_moment(text: str, now: float) -> float:
    """Seconds since the epoch: of a moment in ISO 8601 (in UTC, where it names no zone), or of as
    long ago as a duration says.

    Raises:
        ConfigurationError: it is neither.

    Example:
        >>> parse_moment("1h30m", now=10_000.0), parse_moment("1970-01-02", now=0.0)
        (4600.0, 86400.0)
    """
    if _DURATION.fullmatch(text):
        parts = re.findall(r"([\d.]+)([smhdw])", text)
        return now - sum(float(count) * _UNITS[unit] for count, unit in parts)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{text!r} is no time: write 2h, 1h30m or 3d for that long ago, or a moment as "
            "2026-07-01T12:00 (UTC, unless it says +02:00)"
        ) from None
