"""Jobs that take long, or kill their process, on a real Kafka."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT, Worker, wait_until

pytestmark = pytest.mark.kafka


class Yard:
    """The hard jobs with a topic and a file of notes of their own."""

    def __init__(self, kafka: str, topic: str, folder: Path) -> None:
        self.topic = topic
        self._folder = folder
        self._notes = folder / "notes"
        self._notes.touch()
        self.env = {
            "STREAMJOBS_BROKER": kafka,
            "HARD_TOPIC": topic,
            "HARD_NOTES": str(self._notes),
        }

    def enqueue(self, *calls: str) -> None:
        """What `job.enqueue` is called with, after the job's name."""
        lines = [f"jobs.{call.replace('(', '.enqueue(', 1)}" for call in calls]
        code = ["import tests.support.hard_jobs as jobs", *lines, "jobs.app.close()"]
        self.python("-c", ";".join(code))

    def cli(self, *arguments: str) -> str:
        return self.python("-m", "streamjobs", *arguments)

    def python(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **self.env},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def worker(self, name: str, *options: str) -> Worker:
        return Worker(
            "tests.support.hard_jobs:app",
            *options,
            log=self._folder / f"{name}.log",
            env=self.env,
        )

    @property
    def notes(self) -> list[list[str]]:
        return [line.split() for line in self._notes.read_text().splitlines()]

    def count(self, *words: str) -> int:
        """How often this was noted."""
        return self.notes.count(list(words))


@pytest.fixture
def yard(kafka: str, topic_name: str, tmp_path: Path) -> Iterator[Yard]:
    return Yard(kafka, topic_name, tmp_path)


@pytest.mark.timeout(150)
def test_a_job_six_times_as_long_as_the_poll_interval_keeps_its_partition(yard: Yard) -> None:
    yard.enqueue("rest('bear', 60)")
    with yard.worker("first") as worker:
        wait_until(lambda: yard.count("begin", "bear"), what="the bear lies down")
        yard.enqueue(*[f"rest('fly{n}', 0)" for n in range(5)])
        wait_until(lambda: yard.count("end", "fly4"), within=20, what="others go on")
        wait_until(lambda: yard.count("end", "bear"), within=80, what="the bear gets up")
        assert worker.stop() == 0
        assert len(worker.events("partition assigned")) == 1
    assert yard.count("begin", "bear") == 1


def test_a_long_job_goes_on_at_its_cursor_after_a_kill(yard: Yard) -> None:
    yard.enqueue("walk('ant', 200)")
    with yard.worker("first"):
        wait_until(lambda: yard.count("step", "ant", "60"), what="60 steps")
    with yard.worker("second") as second:
        wait_until(lambda: yard.count("end", "ant"), what="the end of the walk")
        second.stop()
    steps = [int(note[2]) for note in yard.notes if note[0] == "step"]
    assert sorted(set(steps)) == list(range(200))
    assert len(steps) < 240, "a crash costs some steps, not the 60 of the way so far"


def test_a_long_job_goes_on_at_its_cursor_after_a_shutdown(yard: Yard) -> None:
    yard.enqueue("walk('ant', 200)")
    with yard.worker("first") as first:
        wait_until(lambda: yard.count("step", "ant", "60"), what="60 steps")
        assert first.stop() == 0
    with yard.worker("second") as second:
        wait_until(lambda: yard.count("end", "ant"), what="the end of the walk")
        second.stop()
    steps = [int(note[2]) for note in yard.notes if note[0] == "step"]
    assert steps == list(range(200)), "not one step twice"


@pytest.mark.timeout(180)
def test_a_job_that_kills_its_process_is_convicted_and_its_neighbours_are_not(yard: Yard) -> None:
    flies, bees = ([f"rest('{name}{n}', 0.3)" for n in range(6)] for name in ("fly", "bee"))
    yard.enqueue(*flies, "die('wasp')", *bees)
    for life in range(12):
        with yard.worker(f"life{life}", "--until-idle", "--instance", "yard") as worker:
            if worker.wait(60) == 0:
                break
    else:
        pytest.fail("it never came to rest")
    ends = Counter(note[1] for note in yard.notes if note[0] == "end")
    assert set(ends) == {f"{name}{n}" for name in ("fly", "bee") for n in range(6)}
    letters = yard.cli("dlq", "list", "tests.support.hard_jobs:app", "--json").splitlines()
    assert len(letters) == 1
    assert "PoisonRecordError" in letters[0]
    assert 5 <= yard.count("kill", "wasp") <= 9


def test_a_job_that_never_works_ends_as_a_dead_letter(yard: Yard) -> None:
    yard.enqueue("fail('moth')")
    with yard.worker("first", "--until-idle") as worker:
        assert worker.wait(60) == 0
    assert yard.count("fail", "moth") == 3
    assert "ConnectionError" in yard.cli("dlq", "list", "tests.support.hard_jobs:app", "--json")


def test_a_worker_stopped_by_ctrl_c_leaves_the_record_to_the_next(yard: Yard) -> None:
    yard.enqueue("rest('snail', 20)")
    with yard.worker("first") as first:
        wait_until(lambda: yard.count("begin", "snail"), what="the snail begins")
        first.send(signal.SIGINT)
        first.wait_for("stopping")
        first.send(signal.SIGINT)
        assert first.wait(10) == 4
    with yard.worker("second"):
        wait_until(lambda: yard.count("begin", "snail") == 2, what="it is delivered again")
