"""All workers of one process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING

from streamjobs.engine.ports import Execution
from streamjobs.engine.slices import Slice
from streamjobs.execution.event_loop import EventLoop
from streamjobs.execution.inline import Inline
from streamjobs.execution.launch import Launch
from streamjobs.execution.threads import Threads

if TYPE_CHECKING:
    from streamjobs.execution.processes import Processes

__all__ = ("WorkerPool",)


class WorkerPool:
    """The executions by kind, and the queue in which their finished slices arrive.

    Args:
        threads: how many slices run on threads at the same time.
        tasks: how many slices are awaited at the same time.
        launch: how worker processes are started; None if no handler runs in one.
    """

    def __init__(self, threads: int, tasks: int, launch: Launch | None = None) -> None:
        self._finished: SimpleQueue[Slice] = SimpleQueue()
        self._news = threading.Event()
        arrive = self._arrive
        self.event_loop = EventLoop(tasks, arrive)
        self._executions: dict[str, Execution] = {
            "inline": Inline(arrive),
            "threads": Threads(threads, arrive),
            "asyncio": self.event_loop,
        }
        self.processes: Processes | None = None
        if launch is not None:
            from streamjobs.execution.processes import Processes

            self.processes = self._executions["processes"] = Processes(launch, arrive)

    def execution(self, kind: str) -> Execution:
        """The workers of one kind."""
        return self._executions[kind]

    def collect(self, timeout: float) -> Iterable[Slice]:
        """Finished slices; waits up to `timeout` seconds for the first one."""
        if timeout and self._finished.empty():
            # Not `get(timeout=)`: a signal that comes at its end makes CPython's wait for ever.
            self._news.clear()
            if self._finished.empty():
                self._news.wait(timeout)
        return self._drain()

    def _arrive(self, piece: Slice) -> None:
        self._finished.put(piece)
        if not self._news.is_set():
            self._news.set()

    def cancel(self, piece: Slice) -> None:
        """Coroutines are cancelled; nothing else can be."""
        if piece.generation.route.execution == "asyncio":
            self.event_loop.cancel(piece)

    def close(self) -> None:
        """Close every execution."""
        for execution in self._executions.values():
            execution.close()

    def _drain(self) -> Iterator[Slice]:
        for _ in range(self._finished.qsize()):
            yield self._finished.get_nowait()
