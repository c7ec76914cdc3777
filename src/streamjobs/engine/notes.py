"""What a commit's metadata says besides the completion map: attempts of records that failed, and
how the process that wrote it ended.

The format is specified to the bit in `docs/commit-metadata.md`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from streamjobs.engine.base32768 import BITS, FIRST, NotPackedError, pack, unpack

__all__ = (
    "Attempts",
    "Notes",
    "forget_changelog_ends",
    "read_notes",
    "write_changelog_ends",
    "write_notes",
)

_ATTEMPTS, _CLOSED, _ENDS, _TRIAL, _ACCUSED, _CHANGELOGS = "a", "c", "u", "t", "p", "e"

ATTEMPTS_CHARACTERS: Final = 512
"""The share of the attempts, tag and `|` not counted."""

_BASE, _OFFSET, _COUNT, _TIME = 32, 22, 8, 20
"""Bits of: the moment all times are told from; an offset, from the frontier; a number of attempts;
a time, in seconds."""

_END: Final = 3 * BITS
"""Bits of the end of a changelog."""

_ENTRY: Final = _OFFSET + _COUNT + 2 * _TIME
ENTRIES: Final = (ATTEMPTS_CHARACTERS * BITS - _BASE) // _ENTRY
"""How many records' attempts fit."""


class Attempts(NamedTuple):
    """A record that failed and is not over.

    Attributes:
        offset: the record's.
        number: how many attempts there were.
        first: when the first one failed, in seconds since the epoch.
        due: when the next one may begin.
    """

    offset: int
    number: int
    first: float
    due: float


@dataclass(frozen=True, slots=True)
class Notes:
    """What is noted.

    Attributes:
        attempts: by offset, of records that failed.
        closed: whether its writer gave the partition up in good order. Where that is missing, the
            writer may have died: what was unfinished is suspect.
        ends: how many owners in a row died with this frontier.
        trial: the offset of the record that runs alone, to see whether it kills its process.
        accused: the offset of the record whose process died on its trial last; `lonely_deaths` how
            often in a row.
        changelog_ends: for each store, by the order of their names, the offset behind its last
            committed change.
    """

    attempts: Mapping[int, Attempts] = field(default_factory=dict)
    closed: bool = False
    ends: int = 0
    trial: int | None = None
    accused: int = -1
    lonely_deaths: int = 0
    changelog_ends: Sequence[int] = ()


def write_notes(
    frontier: int,
    attempts: Iterable[Attempts],
    *,
    closed: bool = False,
    ends: int = 0,
    trial: int | None = None,
    accused: int = -1,
    lonely_deaths: int = 0,
) -> dict[str, str]:
    """Notes as fields of the metadata. Of attempts, those with the lowest offsets are kept: what
    is left out starts to count again after a restart.
    """
    fields: dict[str, str] = {}
    # Without an attempt there is nothing to count on from; below the frontier nothing is open.
    lowest = sorted(each for each in attempts if each.number and each.offset >= frontier)[:ENTRIES]
    if lowest:
        fields[_ATTEMPTS] = pack(_write_attempts(frontier, lowest))
    if ends:
        fields[_ENDS] = chr(FIRST + min(ends, (1 << BITS) - 1))
    if trial is not None:
        fields[_TRIAL] = pack(f"{trial - frontier:0{2 * BITS}b}")
    if lonely_deaths and accused >= frontier:
        fields[_ACCUSED] = pack(f"{accused - frontier:0{2 * BITS}b}{lonely_deaths:0{BITS}b}")
    if closed:
        fields[_CLOSED] = ""
    return fields


def write_changelog_ends(ends: Sequence[int]) -> dict[str, str]:
    """The field with the ends of the changelogs, which are known later than all else."""
    if not any(ends):
        return {}
    return {_CHANGELOGS: "".join(pack(f"{end:0{_END}b}") for end in ends)}


def forget_changelog_ends(fields: Mapping[str, str], stores: Collection[int]) -> dict[str, str]:
    """The fields without the ends of these stores' changelogs (by the order of their names)."""
    try:
        ends = _read_ends(fields.get(_CHANGELOGS, ""))
    except NotPackedError:
        ends = ()
    left = [0 if place in stores else end for place, end in enumerate(ends)]
    others = {tag: text for tag, text in fields.items() if tag != _CHANGELOGS}
    return others | write_changelog_ends(left)


def read_notes(frontier: int, fields: Mapping[str, str]) -> Notes:
    """Notes from the fields of the metadata; what cannot be read is as if it were not there, which
    is always safe.
    """
    try:
        return Notes(
            attempts=_read_attempts(frontier, unpack(fields.get(_ATTEMPTS, ""))),
            closed=_CLOSED in fields,
            ends=_number(fields.get(_ENDS, "")),
            trial=frontier + _number(fields[_TRIAL]) if _TRIAL in fields else None,
            changelog_ends=_read_ends(fields.get(_CHANGELOGS, "")),
            **_read_accused(frontier, fields.get(_ACCUSED, "")),
        )
    except NotPackedError:
        return Notes(closed=_CLOSED in fields)


def _read_ends(text: str) -> tuple[int, ...]:
    width = _END // BITS
    return tuple(_number(text[at : at + width]) for at in range(0, len(text), width))


def _read_accused(frontier: int, text: str) -> dict[str, Any]:
    if not text:
        return {}
    number = _number(text)
    return {
        "accused": frontier + (number >> BITS),
        "lonely_deaths": number & ((1 << BITS) - 1),
    }


def _number(text: str) -> int:
    return int(unpack(text) or "0", 2)


def _write_attempts(frontier: int, attempts: Iterable[Attempts]) -> str:
    """All times are told from the latest first failure: backwards those, forwards the due ones."""
    known = list(attempts)
    base = min(max(int(each.first) for each in known), (1 << _BASE) - 1)
    bits = [f"{base:0{_BASE}b}"]
    for each in known:
        bits.append(_fitted(each.offset - frontier, _OFFSET))
        bits.append(_fitted(each.number, _COUNT))
        bits.append(_fitted(base - int(each.first), _TIME))
        bits.append(_fitted(int(each.due) - base, _TIME))
    return "".join(bits)


def _fitted(value: int, width: int) -> str:
    return f"{max(0, min(value, (1 << width) - 1)):0{width}b}"


def _read_attempts(frontier: int, bits: str) -> dict[int, Attempts]:
    found: dict[int, Attempts] = {}
    if len(bits) < _BASE:
        return found
    base = int(bits[:_BASE], 2)
    for place in range(_BASE, len(bits) - _ENTRY + 1, _ENTRY):
        numbers, at = [], place
        for width in (_OFFSET, _COUNT, _TIME, _TIME):
            numbers.append(int(bits[at : at + width], 2))
            at += width
        offset, count, before, after = numbers
        if not count:
            break  # what fills up the last character
        found[frontier + offset] = Attempts(frontier + offset, count, base - before, base + after)
    return found
