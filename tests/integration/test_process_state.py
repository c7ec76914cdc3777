"""A whole app whose handlers have state in worker processes: in memory, and on a real Kafka."""

import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Message
from streamjobs.counts import Counts
from streamjobs.exit_codes import ExitCode
from streamjobs.runtime import Runtime
from tests.support.counting import Counting
from tests.support.process_state_app import COUNTS, ECHOES, TOPIC, app
from tests.support.processes import Worker, wait_until

APP = "tests.support.process_state_app:app"


def assert_each_once_in_order(numbers: Iterable[Any], times: Counter[str]) -> None:
    """Of each key 1, 2, 3 ..., as often as it was sent."""
    by_key = defaultdict(list)
    for each in numbers:
        by_key[each["key"]].append(each["n"])
    assert by_key == {key: list(range(1, many + 1)) for key, many in times.items()}


# In memory.


class Memory:
    """The app on a Kafka in memory, its stores on the disk."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster(dict.fromkeys([TOPIC, COUNTS, ECHOES, f"{TOPIC}.jobs"], 1))
        self.times: Counter[str] = Counter()

    def write(self, count: int, *orders: str, keys: int = 20) -> None:
        """So many numbers, and these orders among them."""
        values = [*[b"1"] * (count - len(orders)), *[b'"%b"' % each.encode() for each in orders]]
        random.Random(count).shuffle(values)
        for number, value in enumerate(values):
            key = f"k{number % keys}"
            self.times[key] += 1
            self.cluster.append(Message(TOPIC, value, key.encode()))

    def work(self) -> Counts:
        with app.on(MemoryBroker(self.cluster)), capture_logs():
            runtime = Runtime(app)
            assert runtime.run(until_idle=True) is ExitCode.OK
        return runtime.counts

    def values(self, topic: str) -> list[Any]:
        return [orjson.loads(each.value or b"") for each in self.cluster.log(topic, 0).records]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    app.override(state_dir=str(tmp_path), commit_interval=0.02)
    yield Memory()
    app.override(guarantee="at-least-once")


def test_counts_are_right_and_go_on_after_a_restart(memory: Memory) -> None:
    memory.write(400)
    memory.work()
    memory.write(200)
    memory.work()
    assert_each_once_in_order(memory.values(COUNTS), memory.times)


@pytest.mark.parametrize("guarantee", ["exactly-once", "at-least-once"])
def test_attempts_that_fail_and_processes_that_die_leave_nothing(
    memory: Memory, guarantee: str
) -> None:
    app.override(guarantee=guarantee)
    memory.write(400, *["fail"] * 10, *["die"] * 3)

    counts = memory.work()

    assert counts.failed_attempts >= 13
    assert_each_once_in_order(memory.values(COUNTS), memory.times)


def test_what_is_enqueued_and_emitted_there_goes_with_the_state(memory: Memory) -> None:
    memory.write(300, *["fail"] * 5, "die")
    memory.work()
    echoes = memory.values(ECHOES)
    assert_each_once_in_order(echoes, memory.times)
    assert all(each["payments"] == each["n"] for each in echoes)
    assert all(each["last"] == each["n"] - 1 for each in echoes)


# On a real Kafka.


def worker_processes(worker: Worker) -> list[int]:
    """The processes that run its handlers."""
    children = Path(f"/proc/{worker.pid}/task").glob("*/children")
    pids = [int(pid) for each in children for pid in each.read_text().split()]
    return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.kafka
@pytest.mark.timeout(150)
def test_killed_worker_processes_leave_every_count_exact(
    kafka: str, topic_name: str, tmp_path: Path
) -> None:
    run = Counting(kafka, topic_name, tmp_path, "exactly-once", seconds=0.005)
    run.create(run.topic)
    run.send(3_000)
    kills = 6
    with run.worker(app=APP) as worker:
        for kill in range(1, kills + 1):
            wait_until(
                lambda goal=kill * 300: run.committed > goal and worker_processes(worker),
                what="it gets on",
            )
            os.kill(random.choice(worker_processes(worker)), signal.SIGKILL)
        left = len(run.sent) - run.committed
        worker.send(signal.SIGKILL)
        worker.wait()
    run.lose_disk()
    with run.worker("p0", "--until-idle", app=APP) as last:
        assert last.wait(90) == 0

    assert left, "the last kill hit nobody"
    # One that is killed while the app ends is not replaced.
    assert len(worker.events("worker process died; another one takes its place")) >= kills - 1
    run.assert_exact()
    assert_each_once_in_order(run.values(f"{topic_name}.echoes"), Counter(run.sent.values()))
