"""What went into a topic that is counted per key, and what came out of it."""

import random
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streamjobs.headers import DEAD_ERROR, DEAD_OFFSET, DEAD_PARTITION, DEAD_TOPIC
from streamjobs.state.changelog import changelog_topic
from streamjobs.state.codec import decode
from streamjobs.state.entries import entry_key
from tests.support.processes import Worker

APP = "tests.support.state_app:app"
PARTITIONS = 4
SESSION = 3.0
WITHIN = 90.0


class Answer(NamedTuple):
    """An emitted record: the n-th of its key, and the record that it is of."""

    key: str
    n: int
    of: str


class Letter(NamedTuple):
    """A dead letter: the record that it is of, and the class of its error."""

    of: str
    error: str


class Counting:
    """A topic of its own, the app of `state_app` that counts it, and what is to come out.

    Args:
        kafka: the address of the broker.
        topic: a name that nobody else has.
        folder: for state directories and logs.
        guarantee: of the app.
        seconds: what an attempt takes on average.
        seed: of the keys.
        session: seconds until a member that is silent is given up.
    """

    def __init__(
        self,
        kafka: str,
        topic: str,
        folder: Path,
        guarantee: str,
        seconds: float = 0.0,
        seed: int = 0,
        session: float = SESSION,
    ) -> None:
        self.topic = topic
        self.counts = f"{topic}.counts"
        self.group = f"state-{topic}"
        self.changelog = changelog_topic(self.group, topic, "default")
        self.folder = folder
        self.guarantee = guarantee
        self.sent: dict[str, str] = {}
        """Keys by the id of their record."""
        self._kafka = kafka
        self._dice = random.Random(seed)
        self._lives = 0
        self._env = {
            "STREAMJOBS_BROKER": kafka,
            "STREAMJOBS_GUARANTEE": guarantee,
            "STREAMJOBS_PARTITIONS": str(PARTITIONS),
            "STREAMJOBS_THREADS": "16",
            "STREAMJOBS_CONSUMER_CONFIG": orjson.dumps(
                {
                    "session.timeout.ms": int(session * 1000),
                    "heartbeat.interval.ms": int(session * 1000 / 6),
                }
            ).decode(),
            "STATE_TOPIC": topic,
            "STATE_SECONDS": str(seconds),
        }

    # -- in ------------------------------------------------------------------------------------

    def create(self, topic: str, partitions: int = PARTITIONS, **config: str) -> None:
        """Make a topic."""
        admin = AdminClient({"bootstrap.servers": self._kafka})
        new = NewTopic(topic, partitions, 1, config=config)
        admin.create_topics([new])[topic].result(10)

    def send(self, count: int, keys: int = 200, value: bytes = b"1") -> None:
        """So many records, of keys that are drawn by chance."""
        producer = Producer({"bootstrap.servers": self._kafka, "linger.ms": 5})

        def written(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            place = f"{message.topic()}/{message.partition()}/{message.offset()}"
            self.sent[place] = str(message.key(), "ascii")

        for _ in range(count):
            key = f"k{self._dice.randrange(keys)}"
            producer.produce(self.topic, value, key, on_delivery=written)
            producer.poll(0)
        assert producer.flush(30) == 0

    def stranger(self) -> Producer:
        """Somebody else's producer, with an open transaction."""
        stranger = Producer(
            {"bootstrap.servers": self._kafka, "transactional.id": f"stranger-{self.topic}"}
        )
        stranger.init_transactions(10)
        stranger.begin_transaction()
        return stranger

    # -- the processes -------------------------------------------------------------------------

    def worker(self, place: str = "p0", *options: str, app: str = APP, **env: str) -> Worker:
        """A process with that instance name and a state directory of its own."""
        self._lives += 1
        return Worker(
            app,
            *options,
            log=self.folder / f"{place}.{self._lives}.log",
            env={
                **self._env,
                "STREAMJOBS_INSTANCE": place,
                "STREAMJOBS_STATE_DIR": str(self.state_dir(place)),
                **env,
            },
        )

    def lose_disk(self, place: str = "p0") -> None:
        """Delete what a process keeps on its disk."""
        shutil.rmtree(self.state_dir(place), ignore_errors=True)

    def state_dir(self, place: str = "p0") -> Path:
        """Where a process keeps its stores."""
        return self.folder / "state" / place

    # -- out -----------------------------------------------------------------------------------

    @property
    def committed(self) -> int:
        """The sum of the group's offsets."""
        return sum(self.offsets().values())

    def offsets(self) -> dict[int, int]:
        """Those of the group by partition, whoever is about to commit others."""
        reader = self._reader(self.group, "read_uncommitted")
        try:
            places = [TopicPartition(self.topic, n) for n in range(PARTITIONS)]
            found = reader.committed(places, timeout=10)
            return {each.partition: max(0, each.offset) for each in found}
        finally:
            reader.close()

    def is_done(self) -> bool:
        """Whether everything is committed."""
        return self.committed == len(self.sent)

    def answers(self) -> list[Answer]:
        """What was emitted and committed, partition by partition."""
        return [
            Answer(**{name: value[name] for name in Answer._fields})
            for message in self._read(self.counts)
            for value in (orjson.loads(message.value()),)
        ]

    def values(self, topic: str) -> list[Any]:
        """What was written to a topic and committed, from JSON."""
        return [orjson.loads(message.value()) for message in self._read(topic)]

    def letters(self) -> list[Letter]:
        """The dead letters."""
        found = []
        for message in self._read(f"{self.topic}.dead"):
            header = {name: str(value, "utf-8") for name, value in message.headers()}
            place = f"{header[DEAD_TOPIC]}/{header[DEAD_PARTITION]}/{header[DEAD_OFFSET]}"
            found.append(Letter(place, header[DEAD_ERROR].rpartition(".")[2]))
        return found

    def state(self) -> dict[str, int]:
        """The counts, as the changelog has them."""
        entries = {message.key(): message.value() for message in self._read(self.changelog)}
        keys = {entry_key(key.encode(), "n"): key for key in set(self.sent.values())}
        return {keys[entry]: decode(value) for entry, value in entries.items()}

    def _reader(self, group: str, isolation: str = "read_committed") -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._kafka,
                "group.id": group,
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
            }
        )

    def _read(self, topic: str) -> Iterator[Message]:
        """From the beginning to the end; what an open transaction hides is waited for."""
        reader = self._reader("nobody")
        try:
            partitions = reader.list_topics(topic, 10).topics[topic].partitions
            places = [TopicPartition(topic, number, 0) for number in partitions]
            ends = {place.partition: self._end(place) for place in places}
            reader.assign(places)
            deadline = time.monotonic() + WITHIN
            while ends:
                assert time.monotonic() < deadline, f"{topic} is not readable to its end: {ends}"
                for message in reader.consume(5000, 0.1):
                    if message.error() is None:
                        yield message
                        continue
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    if message.offset() >= ends.get(message.partition(), 0):
                        ends.pop(message.partition(), None)
        finally:
            reader.close()

    def _end(self, place: TopicPartition) -> int:
        """Uncommitted records included."""
        reader = Consumer({"bootstrap.servers": self._kafka, "group.id": "nobody"})
        try:
            return int(reader.get_watermark_offsets(place, timeout=10)[1])
        finally:
            reader.close()

    # -- the verdict ---------------------------------------------------------------------------

    def assert_right(self) -> int:
        """What the guarantee says; returns how many records were answered more than once."""
        if self.guarantee == "exactly-once":
            self.assert_exact()
            return 0
        return self.assert_answered()

    def assert_exact(self) -> None:
        """One answer for each record, and for each key 1, 2, 3 ... in the order of its records."""
        answers = self.answers()
        times = Counter(answer.of for answer in answers)
        twice = {of: many for of, many in times.items() if many > 1}
        missing = self.sent.keys() - times.keys()
        assert not twice, f"{len(twice)} records were answered more than once: {_some(twice)}"
        assert not missing, f"{len(missing)} records were not answered: {_some(missing)}"
        assert times.keys() == self.sent.keys()
        by_key = defaultdict(list)
        for answer in answers:
            assert answer.key == self.sent[answer.of]
            by_key[answer.key].append(answer)
        for key, those in by_key.items():
            assert [each.n for each in those] == list(range(1, len(those) + 1)), key
            offsets = [int(each.of.rsplit("/", 1)[1]) for each in those]
            assert offsets == sorted(offsets), key
        self.assert_counted()

    def assert_answered(self) -> int:
        """At least one answer for each record, the last of which is right; returns how many were
        answered more than once.
        """
        answers = self.answers()
        times = Counter(answer.of for answer in answers)
        missing = self.sent.keys() - times.keys()
        assert not missing, f"{len(missing)} records were not answered: {_some(missing)}"
        last = {answer.of: answer.n for answer in answers}
        seen: Counter[str] = Counter()
        for of in sorted(self.sent, key=lambda each: int(each.rsplit("/", 1)[1])):
            seen[self.sent[of]] += 1
            assert last[of] == seen[self.sent[of]], of
        self.assert_counted()
        return sum(many > 1 for many in times.values())

    def assert_counted(self) -> None:
        """The state is what a recount finds."""
        counted, recount = self.state(), Counter(self.sent.values())
        wrong = {key for key in recount if counted.get(key) != recount[key]}
        assert not wrong, _some({key: (counted.get(key), recount[key]) for key in wrong})
        assert counted.keys() == recount.keys()


def _some(those: Any) -> Sequence[Any]:
    found = sorted(those.items() if isinstance(those, dict) else those)
    return found[:5]
