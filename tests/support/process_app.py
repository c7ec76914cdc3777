"""An app whose handlers run in worker processes, which import this module."""

import os
import threading
import time
from typing import Any

from streamjobs import App, Context, Retry, current_context

app = App("process-app", commit_interval=0.02, process_workers=2, partitions=1)

leaves: list[int] = []
initialized: list[int] = []


@app.process_initializer
def initialize() -> None:
    initialized.append(os.getpid())


@app.stream("numbers", value="json", to="seen", process=True, virtual_partitions=8)
def see(number: int, ctx: Context) -> dict[str, Any]:
    """What is seen of each number. Those from 1,000 take 2 ms; the 13 ends the process that meets
    it first.
    """
    began = time.monotonic()
    if number == 13 and ctx.attempt == 1:
        os._exit(1)
    if number >= 1_000:
        time.sleep(0.002)
    return {
        "number": number,
        "pid": os.getpid(),
        "initialized": initialized,
        "began": began,
        "ended": time.monotonic(),
        "attempt": ctx.attempt,
    }


@app.job(topic="trees", process=True)
def grow(leaves: int) -> None:
    """A job in a process that writes jobs itself."""
    leaf.enqueue_many([(number,) for number in range(leaves)])
    current_context().emit("grown", {"pid": os.getpid()})


@app.job(topic="trees", process=True, retry=Retry(attempts=2, wait=0.01))
def shake(number: int) -> None:
    """The first attempt fails after it enqueued."""
    leaf.enqueue(number)
    if current_context().attempt == 1:
        raise ConnectionError("shaken")


@app.job(topic="trees", process=True)
def graft(number: int) -> None:
    """A job that enqueues in a thread of its own."""
    errors: list[Exception] = []

    def enqueue() -> None:
        try:
            leaf.enqueue(number)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=enqueue)
    thread.start()
    thread.join()
    for error in errors:
        raise error


@app.job(topic="leaves")
def leaf(number: int) -> None:
    """A job on a thread of the app."""
    leaves.append(number)


@app.stream("walks", value="json", to="walked", process=True, timeout=0.5)
def walk(steps: int, ctx: Context) -> dict[str, Any]:
    """Ten steps; the first attempt stands still after `steps` of them."""
    first = ctx.cursor or 0
    for step in range(first, 10):
        if ctx.attempt == 1 and step == steps:
            time.sleep(60)
        ctx.checkpoint(step + 1)
    return {"first": first, "attempt": ctx.attempt}
