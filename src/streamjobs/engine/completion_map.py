"""Which offsets above the frontier are complete, as characters of a commit's metadata.

The format is specified to the bit in `docs/commit-metadata.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from zlib import crc32

from streamjobs.engine.base32768 import BITS, FIRST, NotPackedError, pack, unpack

__all__ = (
    "BITSET_SPAN",
    "MAP_CHARACTERS",
    "MAX_SPAN",
    "METADATA_CHARACTERS",
    "Runs",
    "UnreadableMetadataError",
    "decode",
    "encode",
    "runs_capacity",
)

METADATA_CHARACTERS: Final = 4095
"""What a broker keeps by default: `offset.metadata.max.bytes` is 4096, counts characters, and
one is the client's."""

MAP_CHARACTERS: Final = 3480
"""The map's share; the rest is for the attempts of parked keys, changelog ends and the frame."""

_VERSION: Final = "sj1"
_SEPARATOR: Final = "|"
_RUNS, _BITSET, _CHECK = "r", "b", "k"
_CHECK_CHARACTERS: Final = 3

BITSET_SPAN: Final = MAP_CHARACTERS * BITS
"""How many offsets from the frontier on fit whatever their pattern is."""

MAX_SPAN: Final = 1 << 22
"""How far from the frontier a map may reach, in offsets; a ledger keeps a byte for each. Only a
log with large holes (compaction) comes near it; then its records run closer together in time."""

Runs = Sequence[tuple[int, int]]
"""Complete offsets as (start, length), ascending, not touching, all above the frontier."""


class UnreadableMetadataError(ValueError):
    """Metadata that some other program wrote, that is damaged, or of a newer version."""


class Decoded(NamedTuple):
    """What a commit's metadata said."""

    runs: Runs
    fields: Mapping[str, str]


def runs_capacity(span: int) -> int:
    """How many runs fit, whatever their pattern, when they end within `span` offsets."""
    return (MAP_CHARACTERS - 1) * BITS // (2 * max(span, 1).bit_length())


def encode(frontier: int, runs: Runs, fields: Mapping[str, str] | None = None) -> str:
    """The metadata to commit beside `frontier`; empty when there is nothing to say.

    `fields` are further fields by their one-letter tag, in characters other than `|`.
    """
    parts = [tag + text for tag, text in (fields or {}).items()]
    if runs:
        parts.insert(0, _encode_map(frontier, runs))
    if not parts:
        return ""
    body = _SEPARATOR.join([_VERSION, *parts]) + _SEPARATOR
    return body + _CHECK + pack(f"{_checksum(body, frontier):045b}")


def decode(frontier: int, metadata: str) -> Decoded:
    """The complete runs above `frontier`, and the fields this version does not know.

    Raises:
        UnreadableMetadataError: with the reason; then nothing above the frontier counts as
            complete, which is always safe.
    """
    if not metadata:
        return Decoded((), {})
    version, _, _ = metadata.partition(_SEPARATOR)
    if version != _VERSION:
        raise UnreadableMetadataError(f"it does not start with {_VERSION!r}")
    body, check = metadata[: -_CHECK_CHARACTERS - 1], metadata[-_CHECK_CHARACTERS - 1 :]
    if check[:1] != _CHECK or not body.endswith(_SEPARATOR):
        raise UnreadableMetadataError("its end is missing")
    if int(_bits(check[1:]), 2) != _checksum(body, frontier):
        raise UnreadableMetadataError("its checksum does not fit it and its offset")
    fields = {part[0]: part[1:] for part in body.split(_SEPARATOR)[1:] if part}
    runs: Runs = ()
    if _RUNS in fields:
        runs = _decode_runs(frontier, fields.pop(_RUNS))
    elif _BITSET in fields:
        runs = list(ones(_bits(fields.pop(_BITSET)), frontier))
    if runs and runs[-1][0] + runs[-1][1] - frontier > MAX_SPAN:
        raise UnreadableMetadataError("its map reaches further than any of ours")
    return Decoded(runs, fields)


def ones(bits: str, first: int) -> Iterator[tuple[int, int]]:
    """The runs of "1" in a string of bits whose first bit stands for the offset `first`."""
    start = bits.find("1")
    while start >= 0:
        stop = bits.find("0", start)
        stop = len(bits) if stop < 0 else stop
        yield first + start, stop - start
        start = bits.find("1", stop)


def _encode_map(frontier: int, runs: Runs) -> str:
    """Runs or bitset, whichever has fewer characters; both sizes are known before."""
    end = runs[-1][0] + runs[-1][1] - frontier
    width = end.bit_length()
    if 1 + -(-2 * len(runs) * width // BITS) < -(-end // BITS):
        return _RUNS + chr(FIRST + width) + pack(_run_bits(frontier, runs, width))
    return _BITSET + pack(_set_bits(frontier, runs))


def _run_bits(frontier: int, runs: Runs, width: int) -> str:
    pair = f"0{2 * width}b"
    numbers = []
    at = frontier
    for start, length in runs:
        numbers.append(format(start - at << width | length, pair))
        at = start + length
    return "".join(numbers)


def _set_bits(frontier: int, runs: Runs) -> str:
    bits = []
    at = frontier
    for start, length in runs:
        bits.append("0" * (start - at) + "1" * length)
        at = start + length
    return "".join(bits)


def _decode_runs(frontier: int, text: str) -> Runs:
    width = ord(text[0]) - FIRST if text else 0
    if not 0 < width <= MAX_SPAN.bit_length():
        raise UnreadableMetadataError("its runs have no width")
    bits = _bits(text[1:])
    runs = []
    at = frontier
    for place in range(0, len(bits) - 2 * width + 1, 2 * width):
        start = at + int(bits[place : place + width], 2)
        length = int(bits[place + width : place + 2 * width], 2)
        if not length:
            break
        runs.append((start, length))
        at = start + length
    return runs


def _checksum(body: str, frontier: int) -> int:
    """Of the offset, too: a map read against another frontier than its own is damage."""
    return crc32(f"{frontier}{_SEPARATOR}{body}".encode(errors="surrogatepass"))


def _bits(text: str) -> str:
    try:
        return unpack(text)
    except NotPackedError as error:
        raise UnreadableMetadataError(str(error)) from None
