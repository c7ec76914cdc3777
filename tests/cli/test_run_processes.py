"""`streamjobs run --processes`, but for what needs a real Kafka."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import structlog

from streamjobs import logs
from streamjobs.broker.embedded import EmbeddedCluster
from streamjobs.exit_codes import ExitCode
from tests.support.processes import wait_until

Streamjobs = Callable[..., tuple[int, str, str]]
Module = Callable[[str, str], None]

APP = """
    import os, sys, time
    from streamjobs import App, current_context

    app = App("crew", broker={broker!r}, commit_interval=0.05, shutdown_timeout=20, **{settings!r})

    @app.job(topic="crew")
    def work(number: int) -> None:
        print("started", os.getpid(), flush=True)
        while not current_context().stopping:
            time.sleep(0.01)

    @app.job(topic="crew")
    def hang() -> None:
        print("started", os.getpid(), flush=True)
        time.sleep(60)
"""
"""A handler runs until it is told to stop."""

QUICK = """
    import sys
    from streamjobs.supervision.restarts import Restarts
    from streamjobs.supervision.slot import Slot
    from streamjobs.supervision.supervisor import Supervisor

    command = [sys.executable, "-c", {child!r}]
    slots = [Slot(name, command) for name in ("a-0", "a-1")]
    restarts = Restarts(limit=3, first=0.01)
    sys.exit(Supervisor(slots, restarts, shutdown_timeout=10, until_idle=False).run())
"""
"""A supervisor that does not wait for long, of processes that are no app."""


@pytest.fixture
def broker() -> Iterator[str]:
    cluster = EmbeddedCluster()
    cluster.create_topic("crew", 2)
    yield cluster.address
    cluster.close()


class Crew:
    """A supervisor in a group of its own, and its processes."""

    def __init__(self, folder: Path, *command: str) -> None:
        self.folder = folder
        self.log = folder / "log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def lines(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == name]

    @property
    def pids(self) -> list[int]:
        return [event["pid"] for event in self.events("process started")]

    def wait_for(self, event: str, times: int) -> None:
        wait_until(lambda: len(self.events(event)) >= times, what=f"{event!r} {times} times")

    def wait_until_shared(self) -> None:
        """Until each process has a partition, and none moves any more."""

        def owners() -> set[str]:
            owner = {}
            for line in self.lines:
                if line["event"] in {"partition assigned", "partition given up"}:
                    owner[line["partition"]] = line["instance"] if "offset" in line else ""
            return set(owner.values()) - {""}

        wait_until(lambda: len(owners()) == 2, what="each process has a partition")

    def wait(self) -> int:
        return self.process.wait(30)


@contextmanager
def crew(folder: Path, *command: str) -> Iterator[Crew]:
    started = Crew(folder, *command)
    try:
        yield started
    except BaseException as error:
        error.add_note(started.log.read_text()[-4000:])
        raise
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.process.pid, signal.SIGKILL)
        started.process.wait()


def write_app(folder: Path, broker: str, **settings: Any) -> None:
    source = dedent(APP).format(broker=broker, settings=settings)
    (folder / "crew.py").write_text(source, encoding="utf-8")


RUN = ("-m", "streamjobs", "run", "crew:app", "--processes", "2")


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


# What cannot be.


def test_a_broker_in_the_memory_of_one_process_is_refused(
    streamjobs: Streamjobs, accounts: Any
) -> None:
    code, _, err = streamjobs("run", "accounts:app", "--processes", "2")
    assert code == ExitCode.USAGE
    assert "an object in the memory of one process" in err


@pytest.mark.usefixtures("accounts")
def test_an_embedded_broker_for_each_is_refused(streamjobs: Streamjobs) -> None:
    code, _, err = streamjobs("run", "accounts:app", "--processes", "2", "--broker", "embedded")
    assert code == ExitCode.USAGE
    assert "python -m streamjobs broker" in err


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("processes", ["0", "-1", "many"])
def test_processes_are_a_number_from_one(streamjobs: Streamjobs, processes: str) -> None:
    code, _, err = streamjobs("run", "accounts:app", "--processes", processes)
    assert code == ExitCode.USAGE
    assert "--processes" in err


def test_the_help_explains_it_and_hides_what_is_not_for_people(streamjobs: Streamjobs) -> None:
    _, out, _ = streamjobs("run", "--help")
    assert "start those again that die" in " ".join(out.split())
    assert "--leash" not in out


# Lines.


class Writes(io.StringIO):
    """Keeps apart what is written at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return len(text)


def written(form: Any, *, instance: str) -> list[str]:
    """What a process of that name writes for one line, piece by piece."""
    writes = Writes()
    with redirect_stderr(writes):
        logs.configure(form, verbose=False, instance=instance)
        structlog.get_logger().info("hello")
    structlog.reset_defaults()
    return writes.pieces


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_line_is_written_in_one_piece_and_says_who_wrote_it(form: Any) -> None:
    (piece,) = written(form, instance="shop-1")

    assert "shop-1" in piece
    assert piece.endswith("\n")


# Signals.


@pytest.fixture
def at_work(tmp_path: Path, broker: str) -> Iterator[Crew]:
    """Two processes that have come to work, without an instance name."""
    write_app(tmp_path, broker)
    with crew(tmp_path, *RUN) as running:
        running.wait_for("running", 2)
        yield running


def test_a_signal_ends_all_in_good_order(at_work: Crew) -> None:
    at_work.process.send_signal(signal.SIGTERM)

    assert at_work.wait() == ExitCode.OK
    assert all(map(gone, at_work.pids))
    assert len(at_work.events("stopped")) == 2


def test_a_signal_for_the_whole_group_counts_once(at_work: Crew) -> None:
    at_work.wait_until_shared()
    write = ["enqueue", "crew:app", "work", "--json", '{"number": 1}']
    subprocess.run([sys.executable, "-m", "streamjobs", *write], cwd=at_work.folder, check=True)
    wait_until(lambda: "\nstarted " in at_work.log.read_text(), what="a handler runs")

    os.killpg(at_work.process.pid, signal.SIGINT)

    assert at_work.wait() == ExitCode.OK  # and not that of a second signal
    assert sum(event["done"] for event in at_work.events("stopped")) == 1


def test_a_second_signal_ends_all_at_once(at_work: Crew) -> None:
    at_work.wait_until_shared()
    write = ["enqueue", "crew:app", "hang", "--json", "{}"]
    subprocess.run([sys.executable, "-m", "streamjobs", *write], cwd=at_work.folder, check=True)
    wait_until(lambda: "\nstarted " in at_work.log.read_text(), what="a handler runs")

    at_work.process.send_signal(signal.SIGTERM)
    at_work.wait_for("stopping", 2)  # the supervisor, and the process whose handler runs
    at_work.process.send_signal(signal.SIGTERM)

    assert at_work.wait() == ExitCode.AT_ONCE


def test_those_that_end_by_themselves_are_replaced_under_their_names(at_work: Crew) -> None:
    first, second = at_work.events("process started")
    os.kill(first["pid"], signal.SIGKILL)
    os.kill(second["pid"], signal.SIGTERM)
    at_work.wait_for("running", 4)

    names = {event["pid"]: event["instance"] for event in at_work.events("process started")}
    assert len(names) == 4
    assert len(set(names.values())) == 2
    deaths = at_work.events("process died; another one follows")
    ends = {death["pid"]: (death["how"], death["instance"]) for death in deaths}
    assert ends == {
        first["pid"]: ("by SIGKILL", first["instance"]),
        second["pid"]: ("with exit code 0", second["instance"]),
    }


# Processes that do not live.


def supervised(folder: Path, child: str) -> Crew:
    with crew(folder, "-c", dedent(QUICK).format(child=dedent(child))) as running:
        running.wait()
    return running


def test_processes_that_die_again_and_again_end_all(tmp_path: Path) -> None:
    ended = supervised(
        tmp_path,
        """
        import os, sys
        if "a-0" in sys.argv:
            os._exit(7)
        os.read(int(sys.argv[-1]), 1)  # until it is told to end
        """,
    )
    assert ended.process.returncode == ExitCode.ERROR
    log = ended.log.read_text()
    assert log.count("process died; another one follows") == 2
    assert "too many died young" in log


def test_a_process_that_cannot_start_is_not_started_again(tmp_path: Path, broker: str) -> None:
    write_app(tmp_path, broker)
    with (tmp_path / "crew.py").open("a") as source:
        source.write('if "--slot" in sys.argv: app.override(tasks=0)\n')
    with crew(tmp_path, *RUN) as running:
        assert running.wait() == ExitCode.USAGE

        assert len(running.pids) == 2
        assert len(running.events("process could not start")) == 1
