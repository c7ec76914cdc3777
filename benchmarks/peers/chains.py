"""Hand-written asyncio: a task for each key that has work, which awaits its records one by one."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

import orjson
from confluent_kafka import Consumer, Message

from benchmarks.peers.common import Run
from benchmarks.peers.consuming import MANY, Frontier, consumer_config
from benchmarks.peers.task import Task


class Chains:
    """The records of each key that has any, and how many run at the same time."""

    def __init__(self, run: Run) -> None:
        self._handle = run.handle_async
        self._most = run.task.workers
        self._waiting: dict[bytes, deque[Message]] = {}
        self._idle: deque[bytes] = deque()
        self._running = 0
        self.held = 0
        self.frontier = Frontier()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, batch: Sequence[Message]) -> None:
        for record in batch:
            self.held += 1
            self.frontier.began(record.partition(), record.offset())
            chain = self._waiting.get(record.key())
            if chain is not None:
                chain.append(record)
                continue
            self._waiting[record.key()] = deque([record])
            self._idle.append(record.key())
        self._start()

    def _start(self) -> None:
        while self._idle and self._running < self._most:
            self._running += 1
            task = asyncio.ensure_future(self._work(self._idle.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, key: bytes) -> None:
        chain = self._waiting[key]
        while chain:
            record = chain[0]
            await self._handle(orjson.loads(record.value()))
            chain.popleft()
            self.held -= 1
            self.frontier.done(record.partition(), record.offset())
        del self._waiting[key]
        self._running -= 1
        self._start()


async def consume(run: Run) -> None:
    consumer = Consumer(consumer_config(run.task))
    consumer.subscribe([run.task.topic])
    chains = Chains(run)
    committed = time.monotonic()
    while not run.over.is_set():
        batch = consumer.consume(MANY, 0) if chains.held < 10 * run.task.workers else []
        chains.take([each for each in batch if each.error() is None])
        await asyncio.sleep(0 if batch else 0.001)
        if time.monotonic() - committed > 1:
            committed = time.monotonic()
            if offsets := chains.frontier.offsets(run.task.topic):
                consumer.commit(offsets=offsets, asynchronous=True)
    consumer.close()


def main() -> None:
    run = Run(Task.given())
    run.watch(lambda: None)
    asyncio.run(consume(run))
    run.report()


if __name__ == "__main__":
    main()
