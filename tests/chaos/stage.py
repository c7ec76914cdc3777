"""Where a scenario plays: the app's topics, its processes, the workload, and maybe the broker."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
from confluent_kafka import Consumer, TopicPartition

from streamjobs.broker import ports
from streamjobs.testing.history import (
    Assigned,
    Crashed,
    Delivered,
    Event,
    Expired,
    History,
    Revoked,
)
from tests.chaos.app import PARTITIONS, ChaosApp, shorten_sessions
from tests.chaos.crew import Crew
from tests.chaos.workload import Workload
from tests.support.kafka_server import KafkaServer
from tests.support.processes import wait_until

READY_WITHIN = 40.0
DONE_WITHIN = 90.0
LOSES_WITHIN = 30.0

Say = Callable[[str], None]


class Stage:
    """Everything a scenario can touch.

    Args:
        run: names the group and the topics.
        broker: its address.
        folder: for journals and logs.
        say: told what happens while it happens.
        processes: how many.
        server: the broker itself, where the scenario may break it.
        named: whether the processes are static members of the group.
        protocol: the group protocol.
        seed: of the dice.
    """

    def __init__(
        self,
        run: str,
        broker: str,
        folder: Path,
        say: Say,
        *,
        processes: int = 3,
        server: KafkaServer | None = None,
        named: bool = False,
        protocol: str = "classic",
        seed: int = 0,
    ) -> None:
        self.chaos = ChaosApp(run, broker)
        self.dice = random.Random(seed)
        self.folder = folder
        self.server = server
        self.broker_blows: list[float] = []
        self._broker = broker
        self._began = time.monotonic()
        self._say = say
        self._sent: list[Event] = []
        topics = (self.chaos.work, self.chaos.clicks, self.chaos.answers)
        self.chaos.app.broker.create_topics([ports.TopicSpec(t, PARTITIONS) for t in topics], 10)
        if protocol == "consumer":
            shorten_sessions(broker, run)
        self.crew = Crew(
            processes,
            [run, broker],
            folder,
            named=named,
            env={"STREAMJOBS_GROUP_PROTOCOL": protocol},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.crew.__exit__(kind, error, trace)
        self.chaos.app.close()

    def say(self, text: str) -> None:
        """Tell the reader what happens, with the time since the beginning."""
        self._say(f"{time.monotonic() - self._began:6.1f} s  {text}")

    # -- time passes ---------------------------------------------------------------------------

    def work(self, workload: Workload) -> None:
        """Start to send once every partition has an owner."""
        self.wait_until_assigned()
        workload.start()

    def wait_until_assigned(self) -> None:
        """Wait until the processes hold all partitions."""
        wait_until(lambda: len(self._owners()) == 2 * PARTITIONS, READY_WITHIN, "all assigned")
        self.say("all partitions have an owner")

    def pause(self, seconds: float) -> None:
        """Let time pass, and take in what the processes write."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.crew.read()
            time.sleep(max(0.0, min(0.5, until - time.monotonic())))

    def wait_until_joined(self, place: int) -> None:
        """Wait until a process has partitions."""
        wait_until(lambda: self.crew.has_joined(place), READY_WITHIN, "joined")

    def wait_until_busy(self, place: int, attempts: int = 3, within: float = 15.0) -> None:
        """Wait until so many attempts run in a process: a blow to an idle one proves nothing."""
        deadline = time.monotonic() + within
        while self.crew.running(place) < attempts and time.monotonic() < deadline:
            time.sleep(0.01)

    # -- blows ---------------------------------------------------------------------------------

    def restart(self, place: int) -> None:
        """SIGTERM and a new process."""
        self.wait_until_joined(place)
        self.say(f"SIGTERM to {self.crew.member(place)}")
        self.crew.restart(place)

    def kill_the_busiest(self, but_not: int | None = None) -> int:
        """SIGKILL to the process in which most is running; returns its place."""
        places = [place for place in range(self.crew.size) if place != but_not]
        place = max(places, key=self.crew.running)
        self.kill(place)
        return place

    def kill(self, place: int) -> None:
        """SIGKILL and a new process."""
        self.wait_until_busy(place)
        running = self.crew.running(place)
        member = self.crew.kill(place)
        self.say(f"SIGKILL to {member}, {running} attempts were running")

    def freeze(self, place: int, seconds: float) -> None:
        """SIGSTOP, and SIGCONT that much later."""
        self.wait_until_busy(place)
        running = self.crew.running(place)
        member = self.crew.freeze(place)
        self.say(f"SIGSTOP to {member}, {running} attempts were running")
        self.pause(seconds)
        self.crew.thaw(place)
        self.say(f"SIGCONT to {member}")

    def restart_broker(self, *, kill: bool) -> None:
        """Stop the broker, in good order or not, and start it again."""
        assert self.server is not None
        self.say("SIGKILL to the broker" if kill else "the broker restarts")
        self.broker_blows.append(time.monotonic())
        if kill:
            self.server.kill()
        else:
            self.server.stop()
        self.server.start()
        self.say("the broker is back")

    # -- the end -------------------------------------------------------------------------------

    def finish(self, workload: Workload) -> History:
        """Send no more, wait until all is committed, stop everything; returns what happened."""
        self._sent = workload.stop()
        self.say(f"{len(self._sent):,} records sent, waiting until all are committed")
        wait_until(self._all_committed, DONE_WITHIN, "everything committed")
        for place in range(self.crew.size):
            self.wait_until_joined(place)
        self.crew.read()
        self.say(f"all committed; {self.crew.settled:,} were settled, replays included")
        self.crew.stop()
        self.crew.read()
        events = [*self._sent, *self.crew.events, *self._expired(), *self._answers()]
        return History(sorted(events, key=lambda event: event.at))

    @property
    def complaints(self) -> list[str]:
        """What went wrong beside the guarantees."""
        logged, sent = self._logged(), len(self._sent)
        if logged != sent:
            return [*self.crew.complaints, f"{sent} records sent, {logged} in the log"]
        return self.crew.complaints

    def _owners(self) -> dict[ports.TopicPartition, str]:
        self.crew.read()
        owners = {}
        for event in sorted(self.crew.events, key=lambda event: event.at):
            if isinstance(event, Assigned):
                owners[event.partition] = event.member
            elif isinstance(event, Revoked):
                owners.pop(event.partition, None)
            elif isinstance(event, Crashed):
                owners = {each: name for each, name in owners.items() if name != event.member}
        return owners

    def _inputs(self) -> list[TopicPartition]:
        return [
            TopicPartition(topic, number)
            for topic in (self.chaos.work, self.chaos.clicks)
            for number in range(PARTITIONS)
        ]

    def _reader(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._broker,
                "group.id": self.chaos.app.name,
                "enable.auto.commit": False,
            }
        )

    def _all_committed(self) -> bool:
        reader = self._reader()
        try:
            for place in reader.committed(self._inputs(), timeout=10):
                _, end = reader.get_watermark_offsets(place, timeout=10)
                if max(place.offset, 0) < end:
                    time.sleep(0.2)
                    return False
        finally:
            reader.close()
        return True

    def _logged(self) -> int:
        reader = self._reader()
        try:
            return sum(reader.get_watermark_offsets(each, timeout=10)[1] for each in self._inputs())
        finally:
            reader.close()

    def _answers(self) -> Iterator[Event]:
        """What the stream emitted, as it stands in the log at the end."""
        reader, now = self._reader(), time.monotonic()
        places = [TopicPartition(self.chaos.answers, n, 0) for n in range(PARTITIONS)]
        try:
            left = sum(reader.get_watermark_offsets(each, timeout=10)[1] for each in places)
            reader.assign(places)
            while left:
                for message in reader.consume(min(left, 5000), 10):
                    assert message.error() is None, message.error()
                    left -= 1
                    source = orjson.loads(message.value())["to"]
                    topic, partition, offset = source.rsplit("/", 2)
                    place = ports.TopicPartition(topic, int(partition))
                    yield Delivered(now, place, int(offset))
        finally:
            reader.close()

    def _expired(self) -> Iterable[Event]:
        """When the broker has been away, members may have lost their sessions; those which had
        say so when they learn it (or are killed before). Nobody knows when exactly it was: from
        the beginning of the outage on, others may have had their partitions.
        """
        for event in list(self.crew.events):
            lost = isinstance(event, Revoked) and event.lost
            if lost or isinstance(event, Crashed):
                for blow in self.broker_blows:
                    if blow < event.at < blow + LOSES_WITHIN:
                        yield Expired(blow, event.member)  # type: ignore[attr-defined]
