"""What all Python peers share: the handlers, the watch over them, and the line they print."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.peers.journal import Journal
from benchmarks.peers.task import Task

PATIENCE: Final = 30.0
"""Seconds without a record after which a peer is over: what is missing then is lost. More than the
time in which a member that was killed keeps its partitions (`Task.session_ms`).
"""

LOOK_EVERY: Final = 0.01


class Run:
    """One run of a peer: gives it a handler, notices the end, prints the result.

    Without a journal a handler notes the record's number in a list, which is all that a handler
    that does nothing can afford: order and loss are checked when the clock has stopped.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.handled: list[int] = []
        self.journal = Journal(Path(task.journal), task.records) if task.journal else None
        self.over = threading.Event()
        self._seconds = self._cpu = 0.0
        self._before = 0

    # -- handlers ----------------------------------------------------------------------------

    @property
    def handle(self) -> Callable[[dict[str, Any]], None]:
        """The handler of a parsed record."""
        if self.journal is not None:
            return self._journaled
        append = self.handled.append
        ms = self.task.ms / 1000
        if self.task.work != "sleep":
            return lambda value: append(value["n"])

        def sleep(value: dict[str, Any]) -> None:
            time.sleep(ms)
            append(value["n"])

        return sleep

    def _journaled(self, value: dict[str, Any]) -> None:
        began, number, task = time.monotonic_ns(), value["n"], self.task
        if number == task.stuck:
            time.sleep(task.stuck_seconds)
        elif task.work == "sleep":
            time.sleep(task.ms / 1000)
        elif task.work == "spin":
            spin(int(task.spins * task.ms))
        assert self.journal is not None
        self.journal.ended(number, began)

    @property
    def handle_async(self) -> Callable[[dict[str, Any]], Awaitable[None]]:
        """The handler as a coroutine function."""
        seconds, journal = self.task.ms / 1000, self.journal
        assert journal is not None

        async def handle(value: dict[str, Any]) -> None:
            began = time.monotonic_ns()
            await asyncio.sleep(seconds)
            journal.ended(value["n"], began)

        return handle

    # -- watching ----------------------------------------------------------------------------

    def watch(self, stop: Callable[[], object]) -> None:
        """Call `stop` when all is handled, or nothing comes any more."""
        threading.Thread(target=self._watch, args=[stop], daemon=True).start()

    def _done(self) -> int:
        return len(self.handled) if self.journal is None else self.journal.done

    def _watch(self, stop: Callable[[], object]) -> None:
        progressed = time.monotonic()
        first, before, cpu = 0.0, 0, 0.0
        every = LOOK_EVERY if self.journal is None else 5 * LOOK_EVERY
        while True:
            done, now = self._done(), time.monotonic()
            if done > before:
                if not before:
                    self._before, first, cpu = done, now, time.process_time()
                before, progressed = done, now
            if done >= self.task.records or now - progressed > PATIENCE:
                break
            time.sleep(every)
        self._seconds = progressed - first
        self._cpu = time.process_time() - cpu
        self.over.set()
        stop()

    # -- the result --------------------------------------------------------------------------

    def report(self, **more: Any) -> None:
        """Print what was done, as one line of JSON."""
        found = self._from_list() if self.journal is None else self._from_journal(self.journal)
        print(orjson.dumps(found | more).decode(), flush=True)

    def _from_list(self) -> dict[str, Any]:
        handled, task = self.handled, self.task
        counts = bytearray(task.records)
        last: dict[int, int] = {}
        violations = 0
        for number in handled:
            key = task.key_of(number)
            violations += number < last.get(key, 0)
            last[key] = number
            counts[number] = min(counts[number] + 1, 255)
        # What was handled before the first look is not in the time, either.
        seconds = self._seconds * len(handled) / max(len(handled) - self._before, 1)
        return self._found(len(handled), seconds, violations, bytes(counts))

    def _from_journal(self, journal: Journal) -> dict[str, Any]:
        task = self.task
        times = [each for each in journal.times() if each[1]]
        if not times:
            return self._found(0, 0.0, 0, journal.counts())
        seconds = (max(end for _, end in times) - min(begin for begin, _ in times)) / 1e9
        return self._found(len(times), seconds, journal.violations(task), journal.counts())

    def _found(
        self, records: int, seconds: float, violations: int, counts: bytes
    ) -> dict[str, Any]:
        return {
            "records": records,
            "seconds": seconds,
            "rate": records / seconds if seconds else 0.0,
            "cpu_us": self._cpu * 1e6 / max(records, 1),
            "violations": violations,
            "lost": counts.count(0),
            "twice": sum(count > 1 for count in counts),
        }


def spin(turns: int) -> None:
    """Keep a core busy. Turns are counted, not time: whoever has to share its core is slower."""
    for _ in range(turns):
        pass
