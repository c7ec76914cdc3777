"""The bytes of one entry: its key, and what stands in front of a value that is no plain JSON.

Both are Quix's: the key is `ordering key | name as JSON`, the value JSON. What Quix has no form
for begins with a byte that neither JSON nor any UTF-8 begins with, nor what Quix puts in front of
values with a ttl of its own (0x00 or 0xFF):

    0xF9             bytes follow
    0xFA  8 bytes    JSON follows, until the time in the 8 bytes
    0xFB  8 bytes    bytes follow, until the time in the 8 bytes

The time is in milliseconds since 1970, big endian.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import orjson

from streamjobs.state.errors import StateValueError

__all__ = (
    "FIRST_MARK",
    "Entry",
    "Stored",
    "entry_key",
    "has_expired",
    "has_expiry",
    "is_marked",
    "seal",
    "split_key",
    "unseal",
)

SEPARATOR: Final = b"|"

_PLAIN: Final = 0xF8  # as a mark it is never written
FIRST_MARK: Final = _PLAIN + 1
"""What a value begins with at least that is no plain JSON."""

_BYTES: Final = 0x01
_EXPIRES: Final = 0x02
_LAST_MARK: Final = _PLAIN | _BYTES | _EXPIRES

_TIME: Final = struct.Struct(">Q")
_TIMED: Final = 1 + _TIME.size


class Entry(NamedTuple):
    """Whose entry it is, and what it is called."""

    key: bytes
    name: str


class Stored(NamedTuple):
    """A value's own bytes, whether they are JSON, and when they expire (milliseconds; 0: never)."""

    payload: bytes
    is_json: bool = True
    expires: int = 0


def entry_key(key: bytes, name: str) -> bytes:
    """The key of an entry in its store; no two entries share one.

    Raises:
        TypeError: the name is no text that has a UTF-8 form.
    """
    if not isinstance(name, str):
        raise TypeError(f"a name in state is a str, not {name!r}")
    return key + SEPARATOR + orjson.dumps(name)


def split_key(key: bytes) -> Entry:
    """Whose entry this is.

    Raises:
        StateValueError: the key is none of an entry.
    """
    # Inside of a name's JSON every `"` has a `\\` before it, so the last `|"` begins the name.
    owner, separator, name = key[:-1].rpartition(b'|"')
    try:
        if separator:
            return Entry(owner, str(orjson.loads(b'"' + name + key[-1:])))
    except orjson.JSONDecodeError:
        pass
    raise StateValueError(f'{key!r} is no key of ctx.state: it does not end in |"name"')


def is_marked(value: bytes) -> bool:
    """Whether something stands before the value; most are plain JSON, and need no `unseal`."""
    return value != b"" and value[0] > _PLAIN


def seal(stored: Stored) -> bytes:
    """The bytes to keep."""
    payload, is_json, expires = stored
    if is_json and not expires:
        return payload
    mark = _PLAIN | (0 if is_json else _BYTES) | (_EXPIRES if expires else 0)
    return bytes((mark,)) + (_TIME.pack(expires) if expires else b"") + payload


def unseal(value: bytes) -> Stored:
    """What was kept. What has none of our marks is JSON, or of some other program."""
    mark = value[0] if value else 0
    if not _PLAIN < mark <= _LAST_MARK:
        return Stored(value)
    is_json = not mark & _BYTES
    if not mark & _EXPIRES:
        return Stored(value[1:], is_json)
    if len(value) < _TIMED:
        return Stored(value)
    return Stored(value[_TIMED:], is_json, _TIME.unpack_from(value, 1)[0])


def has_expired(value: bytes, now: float) -> bool:
    """Whether a value's time is over, at this number of seconds since 1970."""
    return is_marked(value) and 0 < unseal(value).expires <= now * 1000


def has_expiry(value: bytes) -> bool:
    """Whether there is a time at which the value is over."""
    return is_marked(value) and unseal(value).expires > 0
