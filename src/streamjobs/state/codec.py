"""Values of state: from what a handler sets to bytes, and back."""

from __future__ import annotations

import math
from typing import Any

import orjson
from pydantic_core import from_json

from streamjobs.state.entries import Stored, is_marked, seal, unseal
from streamjobs.state.errors import StateValueError
from streamjobs.values import encode_rich

__all__ = ("decode", "encode", "expiry")


def encode(value: Any, expires: int = 0) -> bytes:
    """Bytes as they are, anything else as JSON; `expires` is what `expiry` returned.

    Raises:
        TypeError: the value has no JSON form.
    """
    if isinstance(value, bytes):
        return seal(Stored(value, is_json=False, expires=expires))
    try:
        # A copy: orjson writes into a large block and gives back what it does not need, so that
        # each of its texts keeps 4 KiB from others for as long as it is there.
        payload = b"%b" % orjson.dumps(value)
    except TypeError:
        payload = encode_rich(value)
    return seal(Stored(payload, expires=expires)) if expires else payload


def decode(value: bytes) -> Any:
    """The value again, as JSON gives it back.

    Raises:
        StateValueError: it is none of `encode`.
    """
    payload = value
    if is_marked(value):
        payload, is_json, _ = unseal(value)
        if not is_json:
            return payload
    try:
        # Not orjson: it makes floats of integers beyond 64 bits.
        return from_json(payload)
    except ValueError as error:
        raise StateValueError(f"it is not JSON: {error}") from None


def expiry(now: float, ttl: float) -> int:
    """When a value is over that is set now: milliseconds since 1970.

    Raises:
        ValueError: `ttl` is no number of seconds above 0.
    """
    if not 0 < ttl < math.inf:
        raise ValueError(f"ttl={ttl!r}: a number of seconds above 0, or None for no end")
    return math.ceil((now + ttl) * 1000)
