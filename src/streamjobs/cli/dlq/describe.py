"""A dead letter for scripts: the fields that `dlq list --json` and `dlq show --json` print."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from streamjobs.failures.journal import LetterState
from streamjobs.failures.letters import Letter
from streamjobs.failures.selection import job_of

__all__ = ("describe", "job_text", "key_text", "moment", "printable")


def describe(letter: Letter, state: LetterState) -> dict[str, Any]:
    """Everything that is known; the names are public, they stay."""
    record, death = letter.record, letter.death
    return {
        "id": letter.id,
        "state": str(state),
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "group": death.group,
        "job": job_of(record),
        "key": as_json(record.key),
        "value": as_json(record.value),
        "headers": [[name, as_json(value)] for name, value in record.headers],
        "attempts": death.attempts,
        "error": death.error,
        "message": death.message,
        "traceback": death.traceback,
        "first": moment(death.first),
        "last": moment(death.last),
        "sequenced": death.sequenced,
    }


def as_json(data: bytes | None) -> str | dict[str, str] | None:
    """Text where it is UTF-8, else `{"base64": ...}`."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def key_text(letter: Letter) -> str:
    """The key for people."""
    key = letter.record.key
    return "-" if key is None else printable(key.decode(errors="backslashreplace"))


def job_text(letter: Letter) -> str:
    """The job for people."""
    return printable(job_of(letter.record) or "-")


def printable(text: str) -> str:
    """What is written may come from anywhere: nothing in it shall move somebody's cursor."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else f"\\x{ord(each):02x}" for each in text
    )


def moment(seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
