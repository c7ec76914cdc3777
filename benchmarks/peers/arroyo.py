"""sentry-arroyo: a strategy that runs a function on each record, and commits each second."""

import logging
from collections.abc import Mapping

import orjson
from arroyo import Message, Partition, Topic
from arroyo.backends.kafka import KafkaConsumer, KafkaPayload
from arroyo.backends.kafka.configuration import build_kafka_consumer_configuration
from arroyo.commit import CommitPolicy
from arroyo.processing.processor import StreamProcessor
from arroyo.processing.strategies import (
    CommitOffsets,
    ProcessingStrategy,
    ProcessingStrategyFactory,
    RunTask,
)
from arroyo.types import Commit

from benchmarks.peers.common import Run
from benchmarks.peers.task import Task


class Handling(ProcessingStrategyFactory[KafkaPayload]):
    """The handler, then the commits."""

    def __init__(self, run: Run) -> None:
        self._handle = run.handle

    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        return RunTask(self._work, CommitOffsets(commit))

    def _work(self, message: Message[KafkaPayload]) -> None:
        self._handle(orjson.loads(message.payload.value))


def main() -> None:
    logging.disable(logging.WARNING)
    run = Run(Task.given())
    consumer = KafkaConsumer(
        build_kafka_consumer_configuration(
            {"fetch.queue.backoff.ms": 10},
            bootstrap_servers=[run.task.broker],
            auto_offset_reset="earliest",
            group_id=run.task.group,
        )
    )
    processor = StreamProcessor(
        consumer, Topic(run.task.topic), Handling(run), CommitPolicy(1.0, 1_000_000)
    )
    run.watch(processor.signal_shutdown)
    processor.run()
    run.report()


if __name__ == "__main__":
    main()
