"""Where one run happens: a Kafka, topics with records on them, and a process for the peer."""

import json
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from confluent_kafka import KafkaException, Producer
from confluent_kafka import TopicPartition as At
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from benchmarks.environments import DIRECTORY, ROOT
from benchmarks.model import Contestant, Figures, Workload
from benchmarks.peers.common import spin
from benchmarks.peers.journal import Journal
from benchmarks.peers.task import Task

LIMIT: Final = 240.0
"""Seconds after which a peer is killed, and its run counts as failed."""

PADDING: Final = b"x" * 32
LARGE: Final = b"x" * 1024


class PeerFailed(Exception):
    """A peer ended without a result, or its result is wrong; the message says how."""


class Arena:
    """Topics on one Kafka, and peers that are let loose on them.

    Args:
        broker: its address.
    """

    def __init__(self, broker: str) -> None:
        self.broker = broker
        self._admin = AdminClient({"bootstrap.servers": broker})
        self._spins = 0
        self._names: list[str] = []
        (DIRECTORY / "journals").mkdir(parents=True, exist_ok=True)

    @property
    def spins(self) -> int:
        """Turns of an empty loop in 1 ms of an idle core: the quickest of many tries."""
        if not self._spins:
            turns = 10_000
            self._spins = int(turns * 1e6 / min(_nanoseconds(turns) for _ in range(300)))
        return self._spins

    def task(self, workload: Workload, contestant: Contestant, records: int) -> Task:
        """What this contestant is told, on a topic that has its records already."""
        task = self.blank(workload, contestant, records)
        task = replace(task, topic=_shape(task))
        if not self._has(task):
            self.create(task.topic, task.partitions)
            self._fill(task)
        return task

    def blank(self, workload: Workload, contestant: Contestant, records: int) -> Task:
        """The same on a topic that is still to be named."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        self._names.append(name)
        fields: dict[str, Any] = {**workload.task, **contestant.overrides}
        task = Task(broker=self.broker, topic=name, group=name, records=records, **fields)
        if task.work == "spin":
            task = replace(task, spins=self.spins)
        if task.work == "emit":
            task = replace(task, output=f"{name}-out")
            self.create(task.output, task.partitions)
        return task

    @contextmanager
    def journal(self, task: Task) -> Iterator[tuple[Task, Journal]]:
        """A journal that the peer writes and that is read here."""
        path = DIRECTORY / "journals" / task.group
        journal = Journal.create(path, task.records)
        try:
            yield replace(task, journal=str(path)), journal
        finally:
            journal.close()
            path.unlink()

    def run(self, contestant: Contestant, task: Task) -> dict[str, Any]:
        """Run a peer to its end.

        Raises:
            PeerFailed: it did not end well.
            CannotRun: it cannot be installed here.
        """
        return self.result(self.start(contestant, task))

    def start(self, contestant: Contestant, task: Task) -> subprocess.Popen[str]:
        """Start a peer; who starts it ends it, or waits for its result."""
        return subprocess.Popen(
            [*contestant.peer.command(), task.as_json()],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Wait for a peer, and take its last line.

        Raises:
            PeerFailed: it did not end well.
        """
        try:
            out, error = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            out, error = process.communicate()
            raise PeerFailed(f"not over after {LIMIT:g} s: {error[-1500:]}") from None
        lines = [line for line in out.splitlines() if line.startswith("{")]
        if process.returncode or not lines:
            raise PeerFailed(f"exit code {process.returncode}: {(out + error)[-1500:]}")
        return dict(json.loads(lines[-1]))

    # -- topics ------------------------------------------------------------------------------

    def create(self, topic: str, partitions: int) -> None:
        config = {"retention.ms": "-1", "segment.bytes": str(1 << 30)}
        try:
            self._admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[
                topic
            ].result(30)
        except KafkaException as error:
            if "EXISTS" not in str(error):
                raise

    def close(self) -> None:
        """Delete the topics of single runs; those with records for everybody stay."""
        runs = tuple(self._names)
        topics = self._admin.list_topics(timeout=10).topics
        gone = [each for each in topics if each.startswith(runs)]
        for deleted in self._admin.delete_topics(gone).values() if gone else ():
            deleted.result(30)

    def _has(self, task: Task) -> bool:
        if task.topic not in self._admin.list_topics(timeout=10).topics:
            return False
        places = {At(task.topic, each): OffsetSpec.latest() for each in range(task.partitions)}
        ends = [each.result(10).offset for each in self._admin.list_offsets(places).values()]
        if sum(ends) == task.records:
            return True
        self._admin.delete_topics([task.topic])[task.topic].result(30)
        time.sleep(1)  # the broker forgets a topic a moment after it says so
        return False

    def _fill(self, task: Task) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self.broker,
                "linger.ms": 50,
                "log_level": 2,
                "queue.buffering.max.messages": 500_000,
            }
        )
        for number in range(task.records):
            while True:
                try:
                    producer.produce(task.topic, **message(task, number))
                    break
                except BufferError:
                    producer.poll(0.05)
            if number % 1000 == 0:
                producer.poll(0)
        if producer.flush(60):
            raise PeerFailed(f"the records of {task.topic} could not be written in 60 s")


def _shape(task: Task) -> str:
    """A topic's name that says what is on it: whoever needs the same shares it."""
    large = f"-{task.large}" if task.large else ""
    return f"bench-{task.records}-{task.keys}-{task.partitions}{large}"


def message(task: Task, number: int) -> Mapping[str, Any]:
    """Record `number` as a producer takes it: 73 bytes with its key, about."""
    key = b"%d" % task.key_of(number)
    padding = PADDING if number < task.records - task.large else LARGE
    return {
        "key": key,
        "value": b'{"n":%d,"key":"%b","text":"%b"}' % (number, key, padding),
        "partition": task.partition_of(number),
    }


def _nanoseconds(turns: int) -> int:
    began = time.perf_counter_ns()
    spin(turns)
    return time.perf_counter_ns() - began


# -- the usual measure ---------------------------------------------------------------------------


def throughput(arena: Arena, workload: Workload, contestant: Contestant, records: int) -> Figures:
    """All records are there before the peer starts: how many it handles in a second."""
    return checked(arena.run(contestant, arena.task(workload, contestant, records)))


def timed_throughput(
    arena: Arena, workload: Workload, contestant: Contestant, records: int
) -> Figures:
    """The same with begin and end of each record, so that two of a key at a time are seen; and
    against the ideal, where all workers work all the time.
    """
    task = arena.task(workload, contestant, records)
    with arena.journal(task) as (task, _):
        figures = checked(arena.run(contestant, task))
    one_at_a_time = 1 if task.keys == 1 else task.workers
    return {**figures, "of_ideal": figures["rate"] * task.ms / 1000 / one_at_a_time}


def checked(result: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a run in which nothing went wrong.

    Raises:
        PeerFailed: records are lost, or out of order where the peer keeps an order.
    """
    if result["lost"]:
        raise PeerFailed(f"{result['lost']} records lost: {result}")
    if result["violations"] and result.get("ordered", True):
        raise PeerFailed(f"{result['violations']} records out of order: {result}")
    return {name: value for name, value in result.items() if name != "ordered"}
