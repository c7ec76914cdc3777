"""`streamjobs dlq` on a real Kafka, with processes that are killed."""

import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from streamjobs import headers
from streamjobs.broker.ports import LogRange, TopicPartition, TopicSpec
from streamjobs.broker.quix.broker import QuixBroker
from streamjobs.failures.journal import Journal
from streamjobs.failures.reading import read_ranges
from streamjobs.record import Record
from tests.support.letters import letter_message
from tests.support.processes import ROOT, wait_until

WITHIN = 30.0
PARTITIONS = 4
KEYS = 40
LETTERS = 5_000

# One record a request: slow enough that there is a middle of a batch to be killed in.
APP = """
from streamjobs import App

app = App("accounts", broker={kafka!r}, producer_config={{"batch.num.messages": 1}})

@app.stream({topic!r}, value="bytes")
def handle(value): ...
"""


class Office:
    """A topic on a real Kafka, its dead letters, and processes that work on them."""

    def __init__(self, kafka: str, topic: str, folder: Path) -> None:
        self.topic, self.dead = topic, f"{topic}.dead"
        self.broker = QuixBroker(kafka)
        self._folder = folder
        (folder / "accounts.py").write_text(APP.format(kafka=kafka, topic=topic))
        self.reader = self.broker.reader({"isolation.level": "read_uncommitted"})

    def create(self, **config: str) -> None:
        """The topic (with this configuration) and the one for its dead letters."""
        specs = [TopicSpec(self.topic, PARTITIONS, config=config), TopicSpec(self.dead, PARTITIONS)]
        self.broker.create_topics(specs, WITHIN)

    def bury(self, letters: Sequence[tuple[bytes, bytes]]) -> None:
        """Letters with these keys and values; a key is always on the same partition."""
        producer = self.broker.producer({})
        for key, value in letters:
            partition = int(key) % PARTITIONS
            message = letter_message(
                key,
                value,
                source=f"{self.topic}/{partition}/0",
                headers=[("nr", value[:8])],
                place=TopicPartition(self.dead, partition),
            )
            producer.send(message)
        assert producer.flush(WITHIN) == 0

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`streamjobs dlq COMMAND accounts:app ...`"""
        command, *options = arguments
        return subprocess.Popen(
            [sys.executable, "-m", "streamjobs", "dlq", command, "accounts:app", *options],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, Any]:
        """The same to its end; returns its exit code and what it printed, which is JSON."""
        process = self.start(*arguments, "--json")
        out, err = process.communicate(timeout=60)
        assert out, err
        return process.returncode, json.loads(out)

    def ranges(self, topic: str) -> dict[TopicPartition, LogRange]:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return {place: self.reader.range(place, WITHIN) for place in places}

    def arrived(self) -> int:
        """How many records stand on the topic."""
        return sum(span.end for span in self.ranges(self.topic).values())

    def records(self, topic: str) -> list[Record]:
        return list(read_ranges(self.reader, self.ranges(topic)))


@pytest.fixture
def office(kafka: str, topic_name: str, tmp_path: Path) -> Iterator[Office]:
    office = Office(kafka, topic_name, tmp_path)
    yield office
    office.reader.close()


def numbered(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"%d" % (number * 7 % KEYS), b"%d" % number) for number in range(count)]


def assert_once_and_in_order(records: Sequence[Record], count: int) -> None:
    orders: dict[bytes | None, list[int]] = defaultdict(list)
    for record in records:
        orders[record.key].append(int(record.value or b""))
    assert sorted(number for numbers in orders.values() for number in numbers) == list(range(count))
    assert all(numbers == sorted(numbers) for numbers in orders.values())


def test_a_replay_that_is_killed_again_and_again_sends_each_letter_once_and_in_order(
    office: Office,
) -> None:
    office.create()
    office.bury(numbered(LETTERS))
    unfinished = 0
    for threshold in (600, 1_900, 3_600):
        with office.start("replay") as process:
            wait_until(lambda: office.arrived() >= threshold or process.poll() is not None)  # noqa: B023
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, "it has to die in the middle"
        assert office.arrived() < LETTERS
        unfinished += open_intents(office)
    assert unfinished, "one of them has to have died between an intent and its end"

    code, told = office.run("replay")

    assert (code, told["failed"], told["held_back"]) == (0, {}, {})
    assert_once_and_in_order(office.records(office.topic), LETTERS)
    assert office.run("replay")[1]["replayed"] == 0


def test_of_two_replays_at_the_same_time_one_gives_way(office: Office) -> None:
    office.create()
    office.bury(numbered(LETTERS))
    processes = [office.start("replay"), office.start("replay")]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert 0 in codes
    for code, error in zip(codes, errors, strict=True):
        assert code == 0 or "another replay or purge is at work" in error

    office.run("replay")
    assert_once_and_in_order(office.records(office.topic), LETTERS)


def open_intents(office: Office) -> int:
    """How many replays have begun and not ended."""
    journals = {place: Journal(place) for place in office.ranges(office.dead)}
    for record in office.records(office.dead):
        journals[TopicPartition(record.topic, record.partition)].add(record)
    return sum(len(journal.intents) for journal in journals.values())


def test_a_replay_takes_records_back_byte_for_byte(office: Office) -> None:
    office.create()
    office.bury([(b"1", b"\x00\xff")])
    _, told = office.run("replay")

    [record] = office.records(office.topic)
    assert (record.partition, record.key, record.value) == (1, b"1", b"\x00\xff")
    assert list(record.headers) == [
        ("nr", b"\x00\xff"),
        (headers.REPLAY_OF, f"{office.dead}/1/0".encode()),
        (headers.REPLAY, told["replay"].encode()),
    ]


def test_a_letter_that_is_too_large_by_now_is_not_overtaken_by_its_key(office: Office) -> None:
    office.create(**{"max.message.bytes": "2000"})
    letters = numbered(200)
    letters[90] = (letters[90][0], b"90".ljust(8) + b"x" * 5_000)
    office.bury(letters)
    code, told = office.run("replay")

    [bad] = told["failed"]
    key = letters[90][0]
    later = [number for number in range(91, 200) if letters[number][0] == key]
    assert code == 1
    assert "too large" in told["failed"][bad].lower()
    assert told["held_back"] == dict.fromkeys(told["held_back"], bad)
    assert len(told["held_back"]) == len(later) > 0
    arrived = sorted(int(record.value or b"") for record in office.records(office.topic))
    assert arrived == sorted(set(range(200)) - {90, *later})


def test_a_purge_removes_what_no_open_letter_needs(office: Office) -> None:
    office.create()
    office.bury([(b"%d" % partition, b"v") for partition in range(PARTITIONS)])
    office.run("replay", "--limit", "1")
    _, told = office.run("purge", "--key", "2", "--yes")

    assert told["purged"] == 1
    assert sorted(told["removed"]) == [f"{office.dead}/0", f"{office.dead}/2"]
    left = [
        place.partition for place, (start, end) in office.ranges(office.dead).items() if end > start
    ]
    assert left == [1, 3]


def test_a_broker_that_is_not_there_is_said_soon(office: Office) -> None:
    process = office.start("list", "--broker", "127.0.0.1:1")
    out, err = process.communicate(timeout=15)

    assert (process.returncode, out) == (1, "")
    assert "127.0.0.1:1" in err
    assert err.count("\n") == 1
