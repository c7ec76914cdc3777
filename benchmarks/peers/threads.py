"""What a careful programmer writes by hand: threads, each with a queue of its own; the hash of the
key says which. Committed is what is complete without a gap, each second.
"""

import threading
import time
from queue import SimpleQueue
from typing import Final

import orjson
from confluent_kafka import Consumer, Message

from benchmarks.peers.common import Run
from benchmarks.peers.consuming import Frontier, batches
from benchmarks.peers.task import Task

WINDOW: Final = 10_000


class HashedQueues:
    """Threads and their queues, and what is complete."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._frontier = Frontier()
        self._finished: SimpleQueue[tuple[int, int]] = SimpleQueue()
        self._queues: list[SimpleQueue[Message]] = [SimpleQueue() for _ in range(run.task.workers)]
        self._room = threading.Semaphore(WINDOW)
        self._committed = time.monotonic()
        for queue in self._queues:
            threading.Thread(target=self._work, args=[queue], daemon=True).start()

    def take(self, record: Message) -> None:
        while not self._room.acquire(timeout=0.1):
            if self._run.over.is_set():
                return
        self._frontier.began(record.partition(), record.offset())
        self._queues[hash(record.key()) % len(self._queues)].put(record)

    def commit(self, consumer: Consumer) -> None:
        now = time.monotonic()
        if now - self._committed < 1:
            return
        self._committed = now
        while not self._finished.empty():
            self._frontier.done(*self._finished.get())
        if offsets := self._frontier.offsets(self._run.task.topic):
            consumer.commit(offsets=offsets, asynchronous=True)

    def _work(self, queue: SimpleQueue[Message]) -> None:
        handle, loads, finish = self._run.handle, orjson.loads, self._finished.put
        while True:
            record = queue.get()
            handle(loads(record.value()))
            finish((record.partition(), record.offset()))
            self._room.release()


def main() -> None:
    run = Run(Task.given())
    queues = HashedQueues(run)
    run.watch(lambda: None)
    for batch in batches(run, queues.commit):
        for record in batch:
            queues.take(record)
    run.report()


if __name__ == "__main__":
    main()
