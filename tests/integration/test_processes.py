"""A whole app with handlers in worker processes: in memory, on a broker, and as a program."""

import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from streamjobs.broker.embedded import EmbeddedCluster
from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Message
from streamjobs.counts import Counts
from streamjobs.exit_codes import ExitCode
from streamjobs.runtime import Runtime
from tests.support import process_app
from tests.support.process_app import app
from tests.support.processes import wait_until

ROOT = Path(__file__).parents[2]


class Memory:
    """The app on a Kafka in memory."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster({"numbers": 1, "trees": 1, "leaves": 1, "walks": 1})

    def write(self, numbers: range, keys: int) -> None:
        for number in numbers:
            value, key = b"%d" % number, b"%d" % (number % keys)
            self.cluster.append(Message("numbers", value, key))

    def work(self) -> Counts:
        with app.on(MemoryBroker(self.cluster, "worker")), capture_logs():
            runtime = Runtime(app)
            assert runtime.run(until_idle=True) is ExitCode.OK
        return runtime.counts

    def seen(self) -> list[dict[str, Any]]:
        return [orjson.loads(each.value or b"") for each in self.cluster.log("seen", 0).records]


@pytest.fixture
def memory() -> Memory:
    return Memory()


def test_every_record_runs_once_and_what_it_returns_arrives(memory: Memory) -> None:
    memory.write(range(100, 600), keys=50)

    counts = memory.work()

    assert counts.done == 500
    assert sorted(each["number"] for each in memory.seen()) == list(range(100, 600))


def test_records_of_a_key_run_in_order_and_never_at_the_same_time(memory: Memory) -> None:
    memory.write(range(1_000, 1_200), keys=10)

    memory.work()

    by_key = defaultdict(list)
    for each in memory.seen():
        by_key[each["number"] % 10].append(each)
    assert len(by_key) == 10
    for records in by_key.values():
        assert [each["number"] for each in records] == sorted(each["number"] for each in records)
        assert all(first["ended"] <= second["began"] for first, second in pairwise(records))


def test_both_processes_work_and_each_was_initialized_once(memory: Memory) -> None:
    memory.write(range(1_000, 1_600), keys=50)

    memory.work()

    initialized = {each["pid"]: each["initialized"] for each in memory.seen()}
    assert len(initialized) == 2
    assert initialized == {pid: [pid] for pid in initialized}


def test_a_process_that_dies_fails_one_attempt_and_that_record_is_retried(memory: Memory) -> None:
    memory.write(range(10, 200), keys=50)

    counts = memory.work()

    assert (counts.done, counts.failed_attempts) == (190, 1)
    assert sorted(each["number"] for each in memory.seen()) == list(range(10, 200))
    assert {each["number"] for each in memory.seen() if each["attempt"] > 1} == {13}


def test_what_takes_too_long_is_killed_and_goes_on_at_its_cursor(memory: Memory) -> None:
    memory.cluster.append(Message("walks", b"7", b"key"))

    counts = memory.work()

    assert (counts.done, counts.failed_attempts) == (1, 1)
    [walked] = memory.cluster.log("walked", 0).records
    assert orjson.loads(walked.value or b"") == {"first": 7, "attempt": 2}


def test_processes_are_replaced_and_nothing_is_lost_or_repeated(memory: Memory) -> None:
    memory.write(range(1_000, 2_000), keys=500)
    app.override(process_max_records=50)
    try:
        counts = memory.work()
    finally:
        app.override(process_max_records=0)

    assert counts.done == 1_000
    assert sorted(each["number"] for each in memory.seen()) == list(range(1_000, 2_000))
    assert len({each["pid"] for each in memory.seen()}) > 2


def test_what_an_attempt_in_a_process_enqueues_is_written_when_it_has_succeeded(
    memory: Memory,
) -> None:
    process_app.leaves.clear()
    with app.on(MemoryBroker(memory.cluster, "front")):
        process_app.shake.enqueue(7).wait(10)
        process_app.grow.enqueue(2).wait(10)
    counts = memory.work()

    assert counts.failed_attempts == 1
    assert sorted(process_app.leaves) == [0, 1, 7]


def test_a_thread_of_a_process_that_cannot_reach_the_broker_is_told_so(memory: Memory) -> None:
    with app.on(MemoryBroker(memory.cluster, "worker")):
        process_app.graft.enqueue(1).wait(10)
        runtime = Runtime(app)
        with capture_logs() as logs:
            _run_until(runtime, lambda: runtime.counts.failed_attempts)
    errors = [log["error"] for log in logs if "attempt failed" in log["event"]]
    assert "which a worker process cannot reach: enqueue in the attempt's own thread" in errors[0]


def _run_until(runtime: Runtime, condition: Callable[[], object]) -> None:
    """Run the app in this thread until then."""

    def watch() -> None:
        wait_until(condition)
        runtime.stop()

    watcher = threading.Thread(target=watch)
    watcher.start()
    runtime.run()
    watcher.join()


# On a broker with an address.


@pytest.fixture
def broker() -> Iterator[EmbeddedCluster]:
    cluster = EmbeddedCluster()
    yield cluster
    cluster.close()


def test_a_handler_in_a_process_can_enqueue(broker: EmbeddedCluster) -> None:
    for topic in ("numbers", "trees", "leaves", "grown", "seen"):
        broker.create_topic(topic)
    process_app.leaves.clear()
    app.override(broker=broker.address)
    try:
        with capture_logs():
            process_app.grow.enqueue(5).wait(10)
            _run_until(Runtime(app), lambda: len(process_app.leaves) == 5)
    finally:
        app.close()

    assert sorted(process_app.leaves) == [0, 1, 2, 3, 4]


# As a program.

PROGRAM = """
    import os, sys, time
    from streamjobs import App, current_context

    app = App("program", broker={broker!r}, process_workers=1, shutdown_timeout=5)

    @app.job(topic="program", process=True)
    def work(what: str) -> None:
        print(what, __name__, os.getpid() != {pid}, flush=True)
        if what == "wait":
            print("pid", os.getpid(), flush=True)
            while not current_context().stopping:
                time.sleep(0.01)
        if what == "hang":
            print("pid", os.getpid(), flush=True)
            time.sleep(60)
"""

MAIN = """
    if __name__ == "__main__":
        work.enqueue(sys.argv[1]).wait(10)
        app.run(until_idle=True)
        app.close()
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Path]:
    """A program in a file: `program(main)`."""

    def write(main: str, broker: str = "embedded") -> Path:
        path = tmp_path / "program.py"
        text = dedent(PROGRAM.format(broker=broker, pid=os.getpid())) + dedent(main)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@contextmanager
def started(*command: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A program in a group of its own, which is gone at the end, however the test went."""
    running = subprocess.Popen(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with running:
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


def pid_of_worker(running: subprocess.Popen[str]) -> int:
    """As the handler says."""
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith("pid "):
            return int(line.split()[1])
    raise AssertionError(running.communicate())


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_handlers_of_a_script_are_found(program: Callable[..., Path]) -> None:
    path = program(MAIN)
    with started(str(path), "hello", cwd=path.parent) as running:
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (0, "hello __mp_main__ True\n"), err


def test_handlers_of_a_module_that_the_command_runs_are_found(
    program: Callable[..., Path], broker: EmbeddedCluster
) -> None:
    broker.create_topic("program")
    path = program("", broker.address)
    enqueue = ["-m", "streamjobs", "enqueue", "program:app", "work", "--json", '{"what": "hello"}']
    with started(*enqueue, cwd=path.parent) as running:
        assert running.wait(60) == 0, running.communicate()

    with started(
        "-m", "streamjobs", "run", "program:app", "--until-idle", cwd=path.parent
    ) as running:
        out, err = running.communicate(timeout=60)

    assert (running.returncode, out) == (0, "hello program True\n"), err


def test_a_script_that_runs_its_app_while_it_is_imported_is_told_so(
    program: Callable[..., Path],
) -> None:
    path = program('work.enqueue("hello") and app.run(until_idle=True)')
    with started(str(path), cwd=path.parent) as running:
        _, err = running.communicate(timeout=60)
    assert running.returncode == 0  # what `run` returned says how it ended
    assert 'put that under if __name__ == "__main__"' in err
    assert "3 worker processes died with exit code 1 before they were ready" in err


def test_ctrl_c_in_a_terminal_lets_the_handler_end(program: Callable[..., Path]) -> None:
    path = program(MAIN)
    with started(str(path), "wait", cwd=path.parent) as running:
        worker = pid_of_worker(running)
        os.killpg(running.pid, signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 0
    assert "Traceback" not in err
    assert '"done": 1' in err.replace('"done":1', '"done": 1')
    assert gone(worker)


def test_processes_end_when_their_app_was_killed(program: Callable[..., Path]) -> None:
    path = program(MAIN)
    with started(str(path), "hang", cwd=path.parent) as running:
        worker = pid_of_worker(running)
        running.kill()
        wait_until(lambda: gone(worker), 10, "the worker process ends")
