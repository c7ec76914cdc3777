"""The wall: a tuned loop around confluent-kafka, one record after another, without any guarantee
beyond that of its commits each second.
"""

import time

import orjson
from confluent_kafka import Consumer, Producer

from benchmarks.peers.common import Run
from benchmarks.peers.consuming import batches
from benchmarks.peers.task import Task


def main() -> None:
    run = Run(Task.given())
    handle, loads = run.handle, orjson.loads
    run.watch(lambda: None)
    if run.task.work == "emit":
        _emit(run)
    else:
        for batch in batches(run, _EverySecond()):
            for record in batch:
                handle(loads(record.value()))
    run.report()


def _emit(run: Run) -> None:
    handle, output = run.handle, run.task.output
    producer = Producer({"bootstrap.servers": run.task.broker, "linger.ms": 5})
    for batch in batches(run, _EverySecond()):
        for record in batch:
            value = orjson.loads(record.value())
            while True:
                try:
                    producer.produce(output, orjson.dumps(value), record.key())
                    break
                except BufferError:
                    producer.poll(0.01)
            handle(value)
        producer.poll(0)
    producer.flush()


class _EverySecond:
    """Commits what was consumed."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    def __call__(self, consumer: Consumer) -> None:
        now = time.monotonic()
        if now - self._at >= 1:
            self._at = now
            if any(each.offset >= 0 for each in consumer.position(consumer.assignment())):
                consumer.commit(asynchronous=True)


if __name__ == "__main__":
    main()
