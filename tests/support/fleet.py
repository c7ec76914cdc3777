"""The aircraft example in three processes that are killed and frozen, and what it made of that."""

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson
from confluent_kafka import KafkaException, TopicPartition

from examples import aircraft_kafka
from examples.aircraft import Aircraft, Flight, recount
from streamjobs.engine import completion_map
from streamjobs.state.changelog import changelog_topic
from streamjobs.state.codec import decode
from streamjobs.state.entries import split_key
from tests.support.counting import PARTITIONS, Answer, Counting
from tests.support.processes import Worker, wait_until

T = TypeVar("T")

PLACES = ("p0", "p1", "p2")
BACKLOG = 600
"""Flights that lie before the processes, so that no blow hits one that has nothing to do."""

WINDOW = 64
"""Records of a partition that are in a process and not over: what may be in flight."""

PATIENCE = 40.0  # seconds


class Emitted(NamedTuple):
    """An answer's place in the log, and the record that it is of."""

    of: str
    partition: int
    offset: int


class Mark(NamedTuple):
    """What was certain when a blow fell.

    Attributes:
        committed: the records that were, by their ids.
        ends: where the topic of answers ended then, by partition. Read after `committed`: the
            answers of those records stand before these ends.
    """

    committed: frozenset[str]
    ends: dict[int, int]

    def strays(self, emitted: Iterable[Emitted]) -> list[Emitted]:
        """Answers that came after the blow though their record was committed before it."""
        return [
            each
            for each in emitted
            if each.of in self.committed and each.offset >= self.ends[each.partition]
        ]

    def uncommitted(self, emitted: Iterable[Emitted]) -> set[str]:
        """Records that were answered and not committed: they are answered again."""
        before = {each.of for each in emitted if each.offset < self.ends[each.partition]}
        return before - self.committed


class Fleet(Counting):
    """Flights on a topic of their own, the processes that follow them, and the blows they take.

    Args:
        kafka: the address of the broker.
        topic: a name that nobody else has.
        folder: for state directories and logs.
        guarantee: of the app.
        flights: what is sent, `BACKLOG` after `BACKLOG`.
        seconds: what each takes.
    """

    def __init__(
        self,
        kafka: str,
        topic: str,
        folder: Path,
        guarantee: str,
        flights: Sequence[Flight],
        seconds: float,
    ) -> None:
        super().__init__(kafka, topic, folder, guarantee)
        self.group = topic
        self.changelog = changelog_topic(topic, topic, "default")
        self.flights: list[Flight] = []
        self._unsent = list(flights)
        self.marks: list[Mark] = []
        self.gave_up: list[str] = []
        """What processes said that ended by themselves; another one took the place of each."""
        self._crew: dict[str, Worker] = {}
        self._stack = ExitStack()
        self._env |= {
            "AIRCRAFT_TOPIC": topic,
            "AIRCRAFT_IO": str(seconds),
            "STREAMJOBS_THREADS": "4",
            "STREAMJOBS_WINDOW_RECORDS": str(WINDOW),
        }

    def __enter__(self) -> "Fleet":
        """Send the first flights, then start the processes."""
        self.create(self.topic)
        self._send(BACKLOG)
        for place in PLACES:
            self._start(place)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def _start(self, place: str) -> None:
        worker = self.worker(place, app="examples.aircraft:app")
        self._crew[place] = self._stack.enter_context(worker)

    def look_after(self) -> None:
        """Send more, if less than `BACKLOG` is left to do; start what has ended by itself again."""
        if self.waiting < BACKLOG:
            self._send(BACKLOG)
        self._revive()

    def _revive(self) -> None:
        """As a supervisor would: a process may give up when its broker is away for too long."""
        for place, worker in self._crew.items():
            if worker.events("stopped"):
                self.gave_up.append(_last_words(worker))
                worker.wait()
                self.mark()
                self._start(place)

    def _is_over(self) -> bool:
        self._revive()
        return self.is_done()

    @property
    def waiting(self) -> int:
        """Flights that were sent and are not committed."""
        return len(self.flights) - self.committed

    def _send(self, count: int) -> None:
        more, self._unsent = self._unsent[:count], self._unsent[count:]
        aircraft_kafka.send(self._kafka, more, self.topic)
        self.flights += more

    # -- blows ---------------------------------------------------------------------------------

    def kill(self, place: str) -> None:
        """SIGKILL and a new process. It is frozen first: so the mark is of its last moment."""
        self.freeze(place)
        self._crew[place].send(signal.SIGKILL)
        self._crew[place].wait()
        self._start(place)

    def freeze(self, place: str) -> None:
        """SIGSTOP."""
        self._crew[place].send(signal.SIGSTOP)
        self.mark()

    def thaw(self, place: str) -> None:
        """SIGCONT."""
        self._crew[place].send(signal.SIGCONT)

    def mark(self) -> None:
        """Note what is certain now."""
        committed = frozenset(self._committed_records())
        ends = {n: self._end(TopicPartition(self.counts, n)) for n in range(PARTITIONS)}
        self.marks.append(Mark(committed, ends))

    def finish(self, *, rest: bool) -> None:
        """Send the rest, if all are to be flown, wait until nothing waits, and stop."""
        if rest:
            self._send(len(self._unsent))
        for message in self._read(self.topic):
            place = f"{message.topic()}/{message.partition()}/{message.offset()}"
            self.sent[place] = message.key().decode()
        assert len(self.sent) == len(self.flights)
        wait_until(self._is_over, 240, "all committed")
        for worker in self._crew.values():
            worker.wait_for("running")  # before that SIGTERM ends it as any other process
            if worker.stop() != 0:
                self.gave_up.append(_last_words(worker))

    def _committed_records(self) -> Iterable[str]:
        """Below the frontier, or in the map above it."""
        for each in self._commits():
            frontier = max(0, each.offset)
            runs = completion_map.decode(frontier, each.metadata or "").runs
            for start, length in [(0, frontier), *runs]:
                for offset in range(start, start + length):
                    yield f"{self.topic}/{each.partition}/{offset}"

    @property
    def committed(self) -> int:
        """The sum of the group's offsets."""
        return sum(max(0, each.offset) for each in self._commits())

    def _commits(self) -> Sequence[TopicPartition]:
        """What the group has committed."""

        def ask() -> Sequence[TopicPartition]:
            reader = self._reader(self.group)
            try:
                places = [TopicPartition(self.topic, n) for n in range(PARTITIONS)]
                commits: Sequence[TopicPartition] = reader.committed(places, timeout=10)
                return commits
            finally:
                reader.close()

        return _patiently(ask)

    def _end(self, place: TopicPartition) -> int:
        return _patiently(lambda: super(Fleet, self)._end(place))

    # -- out -----------------------------------------------------------------------------------

    def answers(self) -> list[Answer]:
        """The counts in the words of `Counting`; each is what a recount of the file finds there."""
        fleet: dict[str, Aircraft] = {}
        expected = {}
        for flight in self.flights:
            fleet[flight.aircraft] = fleet.get(flight.aircraft, Aircraft()).after(flight)
            expected[flight.number] = fleet[flight.aircraft]
        found = []
        for message in self._read(self.counts):
            count = orjson.loads(message.value())
            key, of = count.pop("aircraft"), count.pop("of")
            assert Aircraft(**count) == expected[count["last_number"]], (key, of)
            found.append(Answer(key, count["flights"], of))
        return found

    def emitted(self) -> list[Emitted]:
        """Where the counts stand."""
        return [
            Emitted(orjson.loads(message.value())["of"], message.partition(), message.offset())
            for message in self._read(self.counts)
        ]

    def assert_counted(self) -> None:
        """The state, as the changelog has it, is what a recount of the file finds."""
        entries = {message.key(): message.value() for message in self._read(self.changelog)}
        state = {
            split_key(key).key.decode(): Aircraft(**decode(value)) for key, value in entries.items()
        }
        assert state == recount(self.flights)

    # -- the bound of at-least-once --------------------------------------------------------------

    def strays(self) -> list[Emitted]:
        """Answers that were repeated after a blow before which their record was committed."""
        emitted = self.emitted()
        return [stray for mark in self.marks for stray in mark.strays(emitted)]

    def bound(self) -> int:
        """How many answers the blows may have repeated: those of records in flight, or over and
        not committed.
        """
        emitted = self.emitted()
        return sum(len(mark.uncommitted(emitted)) + PARTITIONS * WINDOW for mark in self.marks)


def _last_words(worker: Worker) -> str:
    return worker.output.splitlines()[-1]


def _patiently(ask: Callable[[], T]) -> T:
    """Ask again while a broker that was restarted does not answer yet."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
