"""Attempts that may only take so long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from streamjobs.context import Context
from streamjobs.errors import AttemptTimeoutError

__all__ = ("await_within", "refuse_late")


def refuse_late(context: Context, seconds: float) -> None:
    """A plain function cannot be stopped from outside: `ctx.timed_out` told it, and what it did
    is not kept.

    Raises:
        AttemptTimeoutError: it is too late.
    """
    if context.timed_out:
        took = time.monotonic() - context.began
        raise AttemptTimeoutError(f"the attempt took {took:.3g} s, more than its {seconds:g} s")


async def await_within(awaitable: Awaitable[Any], seconds: float | None) -> Any:
    """Await it, and cancel it when its time is over.

    Raises:
        AttemptTimeoutError: it was cancelled.
    """
    if seconds is None:
        return await awaitable
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            result = await awaitable
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise _late(seconds) from error
    if limit.expired():  # and the handler swallowed its cancellation
        raise _late(seconds)
    return result


def _late(seconds: float) -> AttemptTimeoutError:
    return AttemptTimeoutError(f"the attempt took more than its {seconds:g} s")
