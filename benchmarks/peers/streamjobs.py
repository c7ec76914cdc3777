"""streamjobs, as its users have it: a stream handler with the ledger, commits with metadata each
second, a `Context`, retries and dead letters.
"""

from typing import Any

import structlog

from benchmarks.peers.common import Run
from benchmarks.peers.task import Task
from streamjobs import App, Context

task = Task.given()
run = Run(task)
handle = run.handle
app = App(
    task.group,
    broker=task.broker,
    threads=task.workers if task.mode == "threads" else None,
    tasks=task.workers if task.mode == "tasks" else None,
    process_workers=task.workers if task.mode == "processes" else None,
    window_records=max(10_000, 4 * task.workers),
    partitions=task.partitions,
    consumer_config={"session.timeout.ms": task.session_ms},
)
declare = app.stream(
    task.topic,
    virtual_partitions=task.virtual_partitions,
    inline=task.mode == "inline",
    process=task.mode == "processes",
    to=task.output or None,
)

if task.mode == "tasks":
    handle_async = run.handle_async

    @declare
    async def await_it(value: dict[str, Any], ctx: Context) -> None:
        await handle_async(value)

elif task.work == "emit":

    @declare
    def emit_it(value: dict[str, Any], ctx: Context) -> dict[str, Any]:
        handle(value)
        return value

else:

    @declare
    def handle_it(value: dict[str, Any], ctx: Context) -> None:
        handle(value)


def main() -> None:
    structlog.configure(processors=[], logger_factory=structlog.testing.CapturingLoggerFactory())
    run.watch(app.stop)
    app.run()
    app.close()
    run.report()


if __name__ == "__main__":
    main()
