"""`run --processes` with state and exactly-once on a real Kafka: kills, and other counts."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from streamjobs.exit_codes import ExitCode
from tests.support.counting import Counting
from tests.support.processes import Worker, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]

RECORDS = 1200


@pytest.fixture
def run(kafka: str, topic_name: str, tmp_path: Path) -> Counting:
    """A topic whose records are being counted, exactly once."""
    made = Counting(kafka, topic_name, tmp_path, "exactly-once", seconds=0.01)
    made.create(made.topic)
    made.send(RECORDS)
    return made


def crew(run: Counting, processes: int, *options: str) -> Worker:
    return run.worker("shop", "--processes", str(processes), *options)


def names(worker: Worker) -> dict[int, str]:
    """Of its processes, by pid."""
    return {event["pid"]: event["instance"] for event in worker.events("process started")}


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def get_on(run: Counting, records: int) -> Callable[[], bool]:
    goal = min(run.committed + records, RECORDS - 1)  # they may be fast
    return lambda: run.committed > goal


def test_one_that_is_killed_comes_back_under_its_name_and_every_count_is_right(
    run: Counting,
) -> None:
    with crew(run, 3) as worker:
        wait_until(get_on(run, RECORDS // 4), what="it gets on")
        before = names(worker)
        assert sorted(before.values()) == ["shop-0", "shop-1", "shop-2"]
        victim = worker.events("partition assigned")[-1]["instance"]
        pid = next(pid for pid, name in before.items() if name == victim)

        os.kill(pid, signal.SIGKILL)

        wait_until(lambda: len(names(worker)) == 4, what="another process starts")
        (new,) = names(worker).keys() - before.keys()
        assert names(worker)[new] == victim
        wait_until(run.is_done, 60, "all committed")
        assert worker.stop() == ExitCode.OK
        assert all(map(gone, names(worker)))
    run.assert_right()


def test_other_counts_of_processes_go_on_where_the_last_ones_stopped(run: Counting) -> None:
    for processes in (3, 1):
        with crew(run, processes) as worker:
            wait_until(get_on(run, RECORDS // 5), what=f"{processes} get on")
            assert worker.stop() == ExitCode.OK
    assert not run.is_done()
    with crew(run, 2) as worker:
        wait_until(run.is_done, 60, "all committed")
        assert worker.stop() == ExitCode.OK
    run.assert_right()


def test_after_the_supervisor_was_killed_its_processes_end_and_every_count_is_right(
    run: Counting,
) -> None:
    with crew(run, 2) as worker:
        wait_until(get_on(run, RECORDS // 4), what="it gets on")
        worker.send(signal.SIGKILL)
        wait_until(lambda: all(map(gone, names(worker))), 15, "its processes have ended")
        assert len(worker.events("stopped")) == 2  # in good order
    assert not run.is_done()
    with crew(run, 2, "--until-idle") as worker:
        assert worker.wait(150) == ExitCode.OK
    assert run.is_done()
    run.assert_right()
