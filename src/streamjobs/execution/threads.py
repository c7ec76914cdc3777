"""Handlers on a pool of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from streamjobs.engine.slices import Slice
from streamjobs.execution.running import run

__all__ = ("Threads",)


class Threads:
    """Up to `count` threads, started as they are needed. They are daemons: a handler that never
    ends must not keep a process alive that was told to stop.

    Args:
        count: how many slices run at the same time.
        finished: takes each slice when it is through; called by the thread that ran it.
    """

    def __init__(self, count: int, finished: Callable[[Slice], None]) -> None:
        self._count = count
        self._finished = finished
        self._queue: SimpleQueue[Slice | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._lock = threading.Lock()

    @property
    def free(self) -> int:
        """Threads without a slice, those not started yet included."""
        return self._count - self._busy

    def start(self, slices: Sequence[Slice]) -> None:
        """Hand these to threads. Called by the owner."""
        with self._lock:
            self._busy += len(slices)
            missing = min(self._busy, self._count) - len(self._threads)
        for _ in range(missing):
            self._add_thread()
        for piece in slices:
            self._queue.put(piece)

    def close(self) -> None:
        """Idle threads end; busy ones when their handlers do."""
        for _ in self._threads:
            self._queue.put(None)

    def _add_thread(self) -> None:
        name = f"streamjobs-worker-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (piece := self._queue.get()) is not None:
            run(piece)
            with self._lock:
                self._busy -= 1
            self._finished(piece)
