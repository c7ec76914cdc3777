"""What went into the pipelines of `pipeline_app`, and what has to come out."""

import os
import random
import shutil
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.support.pipeline_app import WINDOW_MS
from tests.support.processes import Worker, wait_until

PARTITIONS = 4
KEYS, GROUPS = 40, 6


class Piping:
    """Topics of their own, and the processes that work on them.

    Args:
        kafka: the address of the broker.
        topic: a name that nobody else has.
        folder: for state directories and logs.
        guarantee: of the app.
        seed: of the records.
        seconds: what the first operator takes.
    """

    def __init__(
        self, kafka: str, topic: str, folder: Path, guarantee: str, seed: int, seconds: float
    ) -> None:
        self.topic = topic
        self._kafka = kafka
        self._folder = folder
        self._dice = random.Random(seed)
        self._lives = 0
        # Of today: Kafka deletes what its timestamp says is older than a week, minutes later.
        self._began = int(time.time()) * 1000
        self.readings: list[dict[str, Any]] = []
        self.sides: list[dict[str, Any]] = []
        self._env = {
            "STREAMJOBS_BROKER": kafka,
            "STREAMJOBS_GUARANTEE": guarantee,
            "STREAMJOBS_PARTITIONS": str(PARTITIONS),
            "STREAMJOBS_CONSUMER_CONFIG": orjson.dumps(
                {"session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
            ).decode(),
            "PIPELINE_TOPIC": topic,
            "PIPELINE_SECONDS": str(seconds),
        }
        admin = AdminClient({"bootstrap.servers": kafka})
        names = [topic, f"{topic}.left", f"{topic}.right"]
        for made in admin.create_topics([NewTopic(each, PARTITIONS, 1) for each in names]).values():
            made.result(10)

    # -- in ------------------------------------------------------------------------------------

    def send(self, count: int) -> None:
        """So many readings, some of them late, and a third as many for either side of the join."""
        producer = Producer({"bootstrap.servers": self._kafka, "linger.ms": 5})
        for number in range(count):
            key = f"k{self._dice.randrange(KEYS)}"
            at = self._began + number * 20 - self._dice.choice((0, 0, 0, 1500, 4000))
            reading = {"id": number, "x": number % 7, "group": f"g{self._dice.randrange(GROUPS)}"}
            self.readings.append(reading | {"key": key, "at": at})
            producer.produce(self.topic, orjson.dumps(reading), key, timestamp=at)
            if number % 3 == 0:
                side = {"id": number, "side": self._dice.choice(("left", "right")), "key": key}
                self.sides.append(side)
                producer.produce(
                    f"{self.topic}.{side['side']}", orjson.dumps(side), key, timestamp=at
                )
            producer.poll(0)
        assert producer.flush(30) == 0

    # -- the processes -------------------------------------------------------------------------

    def worker(self, place: str = "p0") -> Worker:
        """A process with that instance name and a state directory of its own."""
        self._lives += 1
        return Worker(
            "tests.support.pipeline_app:app",
            log=self._folder / f"{place}.{self._lives}.log",
            env={
                **self._env,
                "STREAMJOBS_INSTANCE": place,
                "STREAMJOBS_STATE_DIR": str(self._folder / "state" / place),
            },
        )

    def lose_disk(self, place: str = "p0") -> None:
        """Delete what a process keeps on its disk."""
        shutil.rmtree(self._folder / "state" / place, ignore_errors=True)

    # -- out -----------------------------------------------------------------------------------

    def outputs(self, name: str) -> dict[str, list[Any]]:
        """What was written and committed, by key, in order."""
        found: dict[str, list[Any]] = defaultdict(list)
        for message in self._read(f"{self.topic}.{name}"):
            found[message.key().decode()].append(orjson.loads(message.value()))
        return found

    def count(self, name: str) -> int:
        """How many there are so far."""
        return sum(map(len, self.outputs(name).values()))

    def _read(self, topic: str) -> Sequence[Message]:
        consumer = Consumer(
            {
                "bootstrap.servers": self._kafka,
                "group.id": f"reader-{os.getpid()}-{time.monotonic_ns()}",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        found: list[Message] = []
        try:
            partitions = consumer.list_topics(topic, 10).topics[topic].partitions
            if not partitions:
                return []
            consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in partitions])
            ends: set[int] = set()
            while len(ends) < len(partitions):
                for message in consumer.consume(1000, 1.0):
                    if message.error() is None:
                        found.append(message)
                    else:
                        ends.add(message.partition())
            return found
        finally:
            consumer.close()

    # -- the verdict ---------------------------------------------------------------------------

    @property
    def expected_windows(self) -> dict[str, list[dict[str, int]]]:
        """The closed windows of each key: computed here, record by record, on one thread."""
        found: dict[str, list[dict[str, int]]] = {}
        for key in {each["key"] for each in self.readings}:
            windows = list(_windows([each for each in self.readings if each["key"] == key]))
            if windows:
                found[key] = windows
        return found

    def wait_until_done(self, within: float = 90) -> None:
        """Until everything has come out at its end at least once."""
        windows = sum(map(len, self.expected_windows.values()))

        def is_done() -> bool:
            return (
                len(_ids(self.outputs("groups"))) == len(self.readings)
                and len(_ids(self.outputs("both"))) == len(self.sides)
                and self.count("sums") >= windows
            )

        wait_until(is_done, within, "all has come out")

    def assert_exact(self) -> None:
        """Each window once, each record of a group and of a join once, and numbered without gap."""
        assert self.outputs("sums") == self.expected_windows
        for name, sent, by in (("groups", self.readings, "group"), ("both", self.sides, "key")):
            outputs = self.outputs(name)
            assert sorted(_all_ids(outputs)) == sorted(each["id"] for each in sent), name
            for key, numbered in outputs.items():
                assert [each["n"] for each in numbered] == list(range(1, len(numbered) + 1)), key
            assert {key: len(each) for key, each in outputs.items()} == _counted(sent, by)

    def assert_counted(self) -> None:
        """At least once: nothing is missing, and the numbers that belong to the source are right.
        What `group_by` wrote may stand twice on its topic, and is counted twice then.
        """
        sums = self.outputs("sums")
        for key, windows in self.expected_windows.items():
            assert {str(each) for each in windows} == {str(each) for each in sums[key]}, key
        for name, sent, by in (("groups", self.readings, "group"), ("both", self.sides, "key")):
            outputs = self.outputs(name)
            assert _ids(outputs) == {each["id"] for each in sent}, name
            last = {key: max(each["n"] for each in those) for key, those in outputs.items()}
            counted = _counted(sent, by)
            assert last.keys() == counted.keys(), name
            assert all(last[key] >= counted[key] for key in counted), name
            assert name == "groups" or last == counted, name


def _windows(readings: Sequence[Mapping[str, Any]]) -> Any:
    """Of one key, in the order of its log: a window is closed when a record comes that is a window
    later, and takes nothing any more then.
    """
    opened: dict[int, int] = {}
    latest = 0
    for each in readings:
        latest = max(latest, each["at"])
        start = each["at"] - each["at"] % WINDOW_MS
        closed = latest - WINDOW_MS
        if start > closed:
            opened[start] = opened.get(start, 0) + each["x"]
        for over in sorted(start for start in opened if start <= closed):
            yield {"start": over, "end": over + WINDOW_MS, "value": opened.pop(over)}


def _all_ids(outputs: Mapping[str, Sequence[Any]]) -> list[int]:
    return [each["id"] for those in outputs.values() for each in those]


def _ids(outputs: Mapping[str, Sequence[Any]]) -> set[int]:
    return set(_all_ids(outputs))


def _counted(sent: Sequence[Mapping[str, Any]], by: str) -> dict[str, int]:
    counted: dict[str, int] = defaultdict(int)
    for each in sent:
        counted[each[by]] += 1
    return dict(counted)
