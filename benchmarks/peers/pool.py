"""`multiprocessing.Pool` in chunks of 50, one batch after another. It keeps no order."""

import multiprocessing
from typing import Final

import orjson
from confluent_kafka import Consumer

from benchmarks.peers.common import Run
from benchmarks.peers.consuming import batches
from benchmarks.peers.task import Task

CHUNK: Final = 50

task = Task.given()
run = Run(task)
handle = run.handle


def work(value: bytes) -> None:
    handle(orjson.loads(value))


def main() -> None:
    run.watch(lambda: None)
    with multiprocessing.get_context("spawn").Pool(task.workers) as pool:
        for batch in batches(run, _commit):
            for _ in pool.imap_unordered(work, [each.value() for each in batch], CHUNK):
                pass
    run.report(ordered=False)


def _commit(consumer: Consumer) -> None:
    if any(each.offset >= 0 for each in consumer.position(consumer.assignment())):
        consumer.commit(asynchronous=True)


if __name__ == "__main__":
    main()
