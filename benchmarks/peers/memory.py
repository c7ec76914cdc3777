"""The memory of an app that has seen a key for each record and holds the large records at the end
of its topic: their handlers do not end before the memory was measured.
"""

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from benchmarks.peers.task import Task
from streamjobs import App, Context
from streamjobs.engine.events import Observer
from streamjobs.engine.generation import Generation
from streamjobs.record import Record
from streamjobs.runtime import Runtime

PATIENCE: Final = 90.0
SETTLE: Final = 3.0

task = Task.given()
measured = threading.Event()
app = App(task.group, broker=task.broker, window_records=task.large or None)


@app.stream(task.topic, virtual_partitions=task.virtual_partitions)
def handle(value: dict[str, Any], ctx: Context) -> None:
    if value["n"] >= task.records - task.large:
        measured.wait()


class InFlight(Observer):
    """Counts what was read and what is over."""

    def __init__(self) -> None:
        self.read = self.done = 0

    def accepted(self, generation: Generation, records: Sequence[Record]) -> None:
        self.read += len(records)

    def after_settle(self, generation: Generation, records: Sequence[Record]) -> None:
        self.done += len(records)


def rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(seen: InFlight, runtime: Runtime) -> None:
    """Wait until all is as it should be, print the memory, let the handlers end."""
    deadline = time.monotonic() + PATIENCE
    held = 0
    while time.monotonic() < deadline:
        held = seen.read - seen.done
        if seen.read >= task.records and held >= task.large:
            break
        time.sleep(0.2)
    time.sleep(SETTLE)
    figures = {"rss_mib": rss_mib(), "in_flight": held, "seen": seen.read}
    measured.set()
    runtime.stop()
    print(orjson.dumps(figures).decode(), flush=True)


def main() -> None:
    structlog.configure(processors=[], logger_factory=structlog.testing.CapturingLoggerFactory())
    seen = InFlight()
    runtime = Runtime(app, observers=[seen])
    threading.Thread(target=measure, args=[seen, runtime], daemon=True).start()
    runtime.run()
    app.close()


if __name__ == "__main__":
    main()
