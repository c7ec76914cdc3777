"""FastStream on confluent-kafka: a subscriber that gets parsed records one by one."""

import asyncio
import logging
from typing import Any

from faststream import FastStream
from faststream.confluent import KafkaBroker

from benchmarks.peers.common import Run
from benchmarks.peers.task import Task


async def consume(run: Run) -> None:
    task, handle = run.task, run.handle
    broker = KafkaBroker(
        task.broker, logger=None, config={"fetch.queue.backoff.ms": 10}, graceful_timeout=5
    )

    @broker.subscriber(
        task.topic,
        group_id=task.group,
        auto_offset_reset="earliest",
        auto_commit_interval_ms=1000,
    )
    async def handle_it(value: dict[str, Any]) -> None:
        handle(value)

    app = FastStream(broker, logger=None)
    loop = asyncio.get_running_loop()
    run.watch(lambda: loop.call_soon_threadsafe(app.exit))
    await app.run(log_level=logging.ERROR)


def main() -> None:
    run = Run(Task.given())
    asyncio.run(consume(run))
    run.report()


if __name__ == "__main__":
    main()
