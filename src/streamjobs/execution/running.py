"""How a worker runs one slice: the same for every kind of execution."""

from __future__ import annotations

import time

from streamjobs.engine.slices import RUNNING, Slice

__all__ = ("run", "run_async")


def run(piece: Slice) -> None:
    """Run a slice of synchronous attempts to its end. Does not raise."""
    invoke = piece.generation.route.invoke
    token = RUNNING.set(piece)
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
    RUNNING.reset(token)


async def run_async(piece: Slice) -> None:
    """The same for attempts that are awaited."""
    invoke = piece.generation.route.invoke
    token = RUNNING.set(piece)
    began = time.perf_counter()
    try:
        for index in piece.turns():
            try:
                effects = await invoke(piece, index)  # type: ignore[misc]
            except MemoryError:
                raise
            except Exception as error:
                piece.fail(index, error)
            else:
                piece.succeed(index, effects)
    except BaseException as error:
        piece.fatal = error
    piece.seconds = time.perf_counter() - began
    RUNNING.reset(token)
