"""Bits as characters: 15 of them in each, U+3400 to U+B3FF, none of which is a surrogate."""

from __future__ import annotations

from typing import Final

__all__ = ("BITS", "FIRST", "NotPackedError", "pack", "unpack")

FIRST: Final = 0x3400
"""The character that stands for 0."""

BITS: Final = 15
"""In one character."""


class NotPackedError(ValueError):
    """A character outside of the alphabet."""


def pack(bits: str) -> str:
    """15 bits a character, the first bit highest, the last character filled with zeros.

    Eight characters at a time: they are 15 whole bytes, and small integers are fast.
    """
    count = -(-len(bits) // BITS)
    padded = bits + "0" * (-len(bits) % 120)
    data = int(padded or "0", 2).to_bytes(len(padded) // 8, "big")
    text: list[str] = []
    for place in range(0, len(data), 15):
        group = int.from_bytes(data[place : place + 15], "big")
        text += [chr(FIRST + (group >> shift & 0x7FFF)) for shift in range(105, -1, -15)]
    return "".join(text[:count])


def unpack(text: str) -> str:
    """The bits again, with what filled up the last character.

    Raises:
        NotPackedError: it has characters outside of the alphabet.
    """
    values = [ord(character) - FIRST for character in text]
    if any(not 0 <= value < 1 << BITS for value in values):
        raise NotPackedError("it has characters outside of its alphabet")
    return "".join([f"{value:015b}" for value in values])
