"""How a worker runs one slice: the same for every kind of execution."""

from __future__ import annotations

import asyncio
import threading
import time

from streamjobs.engine.slices import RUNNING, Slice
from streamjobs.errors import AttemptInterruptedError

__all__ = ("run", "run_async")


def run(piece: Slice) -> None:
    """Run a slice of synchronous attempts to its end. Does not raise."""
    invoke = piece.generation.route.invoke
    token = RUNNING.set(piece)
    piece.worker = threading.get_ident()
    began = time.perf_counter()
    try:
        for index in piece.turns():
            try:
                effects = invoke(piece, index)
            except MemoryError:
                raise
            except Exception as error:
                piece.fail(index, error)
            else:
                piece.succeed(index, effects)  # type: ignore[arg-type]
    except BaseException as error:
        piece.fatal = error
    piece.seconds = time.perf_counter() - began
    piece.context = None  # it knows the slice: as a cycle they would wait for the collector
    RUNNING.reset(token)


class _Cancelled(Exception):
    """What a handler awaited was cancelled, not the handler itself: its attempt failed."""

    def __init__(self, error: asyncio.CancelledError) -> None:
        super().__init__("something that the handler awaited was cancelled")
        self.__cause__ = error


def _gone(error: asyncio.CancelledError) -> AttemptInterruptedError:
    gone = AttemptInterruptedError("it was cancelled: its partition went to another process")
    gone.__cause__ = error
    return gone


def _asked_to_stop() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def run_async(piece: Slice) -> None:
    """The same for attempts that are awaited."""
    invoke = piece.generation.route.invoke
    token = RUNNING.set(piece)
    piece.worker = asyncio.current_task()
    began = time.perf_counter()
    try:
        for index in piece.turns():
            try:
                effects = await invoke(piece, index)  # type: ignore[misc]
            except MemoryError:
                raise
            except asyncio.CancelledError as error:
                if _asked_to_stop():
                    if not piece.generation.revoked:
                        raise
                    piece.fail(index, _gone(error))
                    break
                piece.fail(index, _Cancelled(error))
            except Exception as error:
                piece.fail(index, error)
            else:
                piece.succeed(index, effects)
    except BaseException as error:
        piece.fatal = error
    piece.seconds = time.perf_counter() - began
    piece.context = None  # it knows the slice: as a cycle they would wait for the collector
    RUNNING.reset(token)
