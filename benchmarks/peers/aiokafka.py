"""aiokafka's `getmany`, one record after another."""

import asyncio

import orjson
from aiokafka import AIOKafkaConsumer

from benchmarks.peers.common import Run
from benchmarks.peers.task import Task


async def consume(run: Run) -> None:
    task, handle, loads = run.task, run.handle, orjson.loads
    consumer = AIOKafkaConsumer(
        task.topic,
        bootstrap_servers=task.broker,
        group_id=task.group,
        auto_offset_reset="earliest",
        auto_commit_interval_ms=1000,
    )
    await consumer.start()
    while not run.over.is_set():
        found = await consumer.getmany(timeout_ms=50, max_records=1000)
        for batch in found.values():
            for record in batch:
                handle(loads(record.value))
    await consumer.stop()


def main() -> None:
    run = Run(Task.given())
    run.watch(lambda: None)
    asyncio.run(consume(run))
    run.report()


if __name__ == "__main__":
    main()
