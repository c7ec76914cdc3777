"""pyrallel-consumer with the order of each key: coroutines, or processes for what computes."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

import orjson
from pyrallel_consumer.config import KafkaConfig
from pyrallel_consumer.consumer import PyrallelConsumer
from pyrallel_consumer.dto import ExecutionMode, WorkItem

from benchmarks.peers.common import Run
from benchmarks.peers.task import Task

task = Task.given()
run = Run(task)
handle = run.handle


def work(item: WorkItem) -> None:
    handle(orjson.loads(item.payload))


async def work_async(item: WorkItem) -> None:
    handle(orjson.loads(item.payload))


async def work_waiting(item: WorkItem) -> None:
    await run.handle_async(orjson.loads(item.payload))


async def work_blocking(item: WorkItem) -> None:
    """It has no threads of its own: what blocks has to be sent to some."""
    value = orjson.loads(item.payload)
    await asyncio.get_running_loop().run_in_executor(threads, handle, value)


threads = ThreadPoolExecutor(task.workers)
WORKERS = {"sleep": work_blocking, "await": work_waiting}


def configuration() -> KafkaConfig:
    config = KafkaConfig()
    config.BOOTSTRAP_SERVERS = [task.broker]
    config.CONSUMER_GROUP = task.group
    config.SESSION_TIMEOUT_MS = task.session_ms
    config.dlq_enabled = False
    execution = config.parallel_consumer.execution
    execution.max_in_flight = task.workers if task.ms else 1_000
    execution.process_config.process_count = task.workers
    processes = task.mode == "processes"
    execution.mode = ExecutionMode.PROCESS if processes else ExecutionMode.ASYNC
    return config


async def consume() -> None:
    worker = work if task.mode == "processes" else WORKERS.get(task.work, work_async)
    consumer = PyrallelConsumer(config=configuration(), worker=worker, topic=task.topic)
    run.watch(lambda: None)
    await consumer.start()
    while not run.over.is_set():
        await asyncio.sleep(0.01)
    try:
        await asyncio.wait_for(consumer.stop(), 10)
    except TimeoutError:
        logging.warning("pyrallel-consumer did not stop")


def main() -> None:
    logging.disable(logging.WARNING)
    asyncio.run(consume())
    run.report()


if __name__ == "__main__":
    main()
