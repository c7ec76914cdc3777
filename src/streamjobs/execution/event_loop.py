"""Coroutine handlers on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from streamjobs.engine.slices import Slice
from streamjobs.execution.running import run_async

__all__ = ("EventLoop",)


class EventLoop:
    """Up to `count` slices at a time, each a task.

    Args:
        count: how many slices are awaited at the same time.
        finished: takes each slice when it is through; called on the loop's thread.
    """

    def __init__(self, count: int, finished: Callable[[Slice], None]) -> None:
        self._count = count
        self._finished = finished
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def free(self) -> int:
        """How many more slices may be awaited."""
        return self._count - self._running

    def start(self, slices: Sequence[Slice]) -> None:
        """Hand these to the loop in one call. Called by the owner."""
        with self._lock:
            self._running += len(slices)
        self.loop().call_soon_threadsafe(self._spawn, slices)

    def cancel(self, piece: Slice) -> None:
        """Cancel the task that runs this slice, if it has begun."""
        task = piece.worker
        if isinstance(task, asyncio.Task):
            self.loop().call_soon_threadsafe(task.cancel)

    def wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the loop from another thread and wait for its result.

        Raises:
            BaseException: what the coroutine raises.
        """
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop()).result()

    def close(self) -> None:
        """Cancel what still runs and end the loop's thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop)

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, started when it is first needed."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._serve, name="streamjobs-event-loop", daemon=True
                ).start()
        return self._loop

    def _serve(self) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _stop(self) -> None:
        assert self._loop is not None
        for task in self._tasks:
            task.cancel()
        self._loop.call_soon(self._loop.stop)

    def _spawn(self, slices: Sequence[Slice]) -> None:
        assert self._loop is not None
        for piece in slices:
            task = self._loop.create_task(self._run(piece))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, piece: Slice) -> None:
        await run_async(piece)
        with self._lock:
            self._running -= 1
        self._finished(piece)
